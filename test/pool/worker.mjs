/**
 * A pool's thread over the sources: what `dist/pool-worker.js` is to the package. tsx has to be called for in each thread.
 */
import { register } from "tsx/esm/api";

register();
await import("../../src/pool-worker.ts");

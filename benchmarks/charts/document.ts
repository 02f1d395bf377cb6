/** A page whose tables come from a run's figures: what stands between two markers is replaced, the rest is left. */
import type { Results } from "../run/results.js";
import { tableOf } from "./tables.js";

const MARKED = /<!-- results: ([a-z-]+) -->\n[\s\S]*?<!-- end -->/g;

/** @throws Error for a marker that names no table */
export const fillTables = (page: string, results: Results): string =>
  page.replace(
    MARKED,
    (_, name: string) => `<!-- results: ${name} -->\n\n${tableOf(name, results)}\n\n<!-- end -->`,
  );

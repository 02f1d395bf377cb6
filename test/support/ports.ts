/** Free ports for publishers that come back at the same ones. */
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * A tcp port that is free, and its next ones. Taken from below the range that systems give to port 0 and to outgoing
 * connections, where the tests that run beside this one are.
 */
export async function portRun(length: number): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const free = await Promise.all(Array.from({ length }, (_, i) => isFree(port + i)));
    if (free.every(Boolean)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
}

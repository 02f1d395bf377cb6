/** The chains in C (native-chain.c), where there are `cc` and OpenSSL's headers. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../run/root.js";

export interface NativeChain extends Disposable {
  /** Nanoseconds per block, by algorithm and call. */
  run(blockSize: number): { algorithm: string; by: string; ns: number }[];
}

/** The program, or why there is none. */
export function compileNativeChain(): NativeChain | { skipped: string } {
  const folder = mkdtempSync(join(tmpdir(), "kvblock-native-"));
  const program = join(folder, "native-chain");
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const source = `${root}benchmarks/baselines/native-chain.c`;
    execFileSync("cc", ["-O2", source, "-o", program, "-lcrypto"], { stdio: "pipe" });
  } catch (error) {
    remove();
    return {
      skipped: String((error as Error).message)
        .split("\n")
        .slice(0, 2)
        .join(": "),
    };
  }
  return {
    run: (blockSize) => {
      const figures = execFileSync(program, [String(blockSize)], { encoding: "utf8" })
        .trim()
        .split(" ");
      const names = ["sha256", "sha256_cbor"].flatMap((algorithm) =>
        ["native SHA256()", "native EVP_Digest"].map((by) => ({ algorithm, by })),
      );
      return names.map((name, i) => ({ ...name, ns: Number(figures[i]) }));
    },
    [Symbol.dispose]: remove,
  };
}

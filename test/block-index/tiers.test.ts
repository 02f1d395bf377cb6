import { describe, expect, it } from "vitest";
import { Tiers } from "../../src/block-index/index.js";

describe("device tiers", () => {
  it("take every medium of vLLM and SGLang to a few names, whatever its case", () => {
    const tiers = new Tiers();
    const name = (medium: string | null): string => tiers.names[tiers.of(medium)]!;
    expect(["GPU", "gpu", null].map(name)).toEqual(["gpu", "gpu", "gpu"]);
    expect(["CPU", "cpu", "CPU_PINNED", "CPU_TIER1", "CPU_TIER2"].map(name)).toEqual(Array(5).fill("cpu"));
    expect(["DISK", "FS"].map(name)).toEqual(["disk", "disk"]);
    expect(["STORAGE", "OBJ", "EXTERNAL", "REMOTE"].map(name)).toEqual(Array(4).fill("storage"));
    expect(name("NVME")).toBe("nvme");
  });

  it("do not grow without bound with what the wire says", () => {
    const tiers = new Tiers();
    for (let i = 0; i < 10_000; i++) tiers.of(`TIER${i}`);
    expect(tiers.names.length).toBeLessThan(40);
    expect(tiers.names[tiers.of("TIER9999")]).toBe("other");
    expect(tiers.of("GPU")).toBe(0);
  });
});

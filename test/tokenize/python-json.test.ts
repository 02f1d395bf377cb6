/**
 * JSON read as Python reads it; the texts that Python prints back are in test/vectors/chat.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PythonFloat, parsePythonJson } from "../../src/tokenize/python-json.js";

describe("Python's JSON", () => {
  it("is JSON.parse's reading where JavaScript loses nothing", () => {
    const keys = fc.string().filter((key) => !/^(?:0|[1-9]\d*|__proto__)$/.test(key));
    const { json } = fc.letrec((tie) => ({
      json: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom(null, true, false, 0, -1, 2 ** 53 - 1, 0.5, -1.25e-7),
        fc.string({ unit: "binary" }),
        fc.array(tie("json")),
        fc.dictionary(keys, tie("json")),
      ),
    }));
    fc.assert(
      fc.property(json, fc.constantFrom(undefined, 2, "\t"), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(parsePythonJson(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it.each([
    ["1", 1],
    ["-0", 0],
    ["9007199254740991", 9007199254740991],
    ["9007199254740993", 9007199254740993n],
    ["-123456789012345678901234567890", -123456789012345678901234567890n],
    ["1.5", 1.5],
    ["1e-7", 1e-7],
    ["1.0", new PythonFloat(1)],
    ["1e5", new PythonFloat(100000)],
    ["-0.0", new PythonFloat(-0)],
    ["1E400", Number.POSITIVE_INFINITY],
    ["NaN", Number.NaN],
    ["-Infinity", Number.NEGATIVE_INFINITY],
  ])("%s keeps its kind of number", (text, value) => {
    expect(parsePythonJson(text)).toStrictEqual(value);
  });

  it("keeps the order of keys that look like indices", () => {
    expect([...(parsePythonJson('{"b":1,"2":2,"1":3,"b":4}') as Map<string, unknown>)]).toEqual([
      ["b", 4],
      ["2", 2],
      ["1", 3],
    ]);
  });

  it("takes __proto__ for a key like any other", () => {
    expect([...(parsePythonJson('{"__proto__":{"x":1}}') as Map<string, unknown>)]).toEqual([
      ["__proto__", { x: 1 }],
    ]);
  });

  it.each([
    "",
    " ",
    "{",
    "[1,]",
    "[1 2]",
    '{"a":1,}',
    "{'a':1}",
    '{"a" 1}',
    "{a:1}",
    "01",
    "1.",
    ".5",
    "+1",
    "0x1",
    "tru",
    "nan",
    '"a',
    '"\n"',
    '"\\x"',
    '"\\u12g4"',
    "1 2",
    "{}]",
    "\ufeff1",
    "\u00a01",
  ])("refuses %j", (text) => {
    expect(() => parsePythonJson(text)).toThrow(SyntaxError);
  });

  it("refuses what nests deeper than Python's stack, without breaking ours", () => {
    expect(parsePythonJson(`${"[".repeat(500)}${"]".repeat(500)}`)).toHaveLength(1);
    expect(() => parsePythonJson("[".repeat(1_000_000))).toThrow(SyntaxError);
  });

  it.each(["a", "\n", '"', "\\", "é"])("reads a string of a million %j", (character) => {
    const value = character.repeat(1_000_000);
    expect(parsePythonJson(JSON.stringify([value, value]))).toEqual([value, value]);
  });

  it("tells where, not what", () => {
    expect(() => parsePythonJson('{"secret": secret}')).toThrow("expected a value at offset 11");
  });
});

/**
 * JSON that Python's `json.loads` reads to the same values as {@link parsePythonJson} gave: what `JSON.stringify` makes of
 * whole floats, large integers and `Map`s is something else.
 * @module
 */

/** @throws TypeError for what JSON has no form of; RangeError for what nests too deeply */
export function formatPythonJson(value: unknown): string {
  if (value instanceof Number) return formatFloat(Number(value));
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint")
    return String(value);
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return `[${value.map(formatPythonJson).join(",")}]`;
  if (typeof value !== "object") throw new TypeError(`a ${typeof value} has no form in JSON`);
  const entries = value instanceof Map ? [...(value as Map<string, unknown>)] : Object.entries(value);
  const members = entries
    .filter(([, member]) => member !== undefined)
    .map(([key, member]) => `${JSON.stringify(key)}:${formatPythonJson(member)}`);
  return `{${members.join(",")}}`;
}

/** A float whose value is whole: with a fraction, or it would be read as an integer. */
function formatFloat(value: number): string {
  const text = Object.is(value, -0) ? "-0" : String(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

/**
 * Reaches every subpath of the installed package, named as arguments, by `import` and by `require`.
 */
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
for (const specifier of process.argv.slice(2)) {
  const imported = await import(specifier);
  const required = require(specifier);
  const names = Object.keys(imported);
  const lacking = names.filter((name) => required[name] !== imported[name]);
  if (names.length === 0) throw new Error(`${specifier} exports nothing at run time`);
  if (lacking.length > 0)
    throw new Error(`require("${specifier}") and import differ in ${lacking.join(", ")}`);
}

/**
 * With the optional packages installed: importing every subpath, named as arguments, must load none of them.
 */
import { register } from "node:module";

const hook = `
  import { writeSync } from "node:fs";
  export function resolve(specifier, context, next) {
    if (/^(zeromq|tiktoken|prom-client)(\\/|$)/.test(specifier)) {
      writeSync(2, specifier + " is loaded by " + context.parentURL + "\\n");
      process.exit(1);
    }
    return next(specifier, context);
  }`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
for (const specifier of process.argv.slice(2)) await import(specifier);

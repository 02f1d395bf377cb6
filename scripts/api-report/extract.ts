/**
 * One subpath's public API as text: @microsoft/api-extractor run over the built declarations, in memory and in a
 * temporary folder, with everything but the report switched off.
 * @module
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Extractor, ExtractorConfig, ExtractorLogLevel } from "@microsoft/api-extractor";

/** A subpath export and the declarations that it ships. */
export interface Entry {
  /** The report's file name without `.api.md`: `hash`, or `kvblock` for the root. */
  readonly name: string;
  /** Absolute path of its `.d.ts`. */
  readonly types: string;
}

/** @returns the subpaths of package.json's `exports` that ship declarations, in its order */
export function entriesOf(root: string): Entry[] {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    name: string;
    exports: Record<string, string | { types: string }>;
  };
  return Object.entries(manifest.exports).flatMap(([subpath, target]) =>
    typeof target === "string"
      ? []
      : [{ name: subpath === "." ? manifest.name : subpath.slice(2), types: join(root, target.types) }],
  );
}

/** A subpath's public API. */
export interface Report {
  readonly entry: Entry;
  /** Every exported declaration, sorted, without comments. */
  readonly text: string;
  /** Names of types that its signatures use and that this subpath itself does not export. */
  readonly borrowed: readonly string[];
}

/**
 * @param folder - where the report may be written; nothing else is
 * @throws Error with the extractor's own message when the declarations cannot be read
 */
export function extractReport(root: string, entry: Entry, folder: string): Report {
  const config = ExtractorConfig.prepare({
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: entry.types,
      compiler: { tsconfigFilePath: join(root, "tsconfig.src.json") },
      newlineKind: "lf",
      apiReport: {
        enabled: true,
        reportFileName: `${entry.name}.api.md`,
        reportFolder: folder,
        reportTempFolder: join(folder, "temp"),
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
        extractorMessageReporting: {
          default: { logLevel: ExtractorLogLevel.Warning, addToApiReportFile: true },
          // Release tags and links are not used: what a door exports is public. The report marks what lacks a comment
          // by itself; a list of line numbers would only make it change with every edit.
          "ae-missing-release-tag": { logLevel: ExtractorLogLevel.None },
          "ae-unresolved-link": { logLevel: ExtractorLogLevel.None },
          "ae-undocumented": { logLevel: ExtractorLogLevel.None },
          "ae-forgotten-export": { logLevel: ExtractorLogLevel.Warning, addToApiReportFile: false },
        },
        tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
      },
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: join(root, "package.json"),
  });
  const errors: string[] = [];
  const borrowed = new Set<string>();
  const result = Extractor.invoke(config, {
    localBuild: true,
    messageCallback: (message) => {
      message.handled = true;
      if (message.logLevel === ExtractorLogLevel.Error) errors.push(message.formatMessageWithLocation(root));
      const name = /The symbol "([^"]+)" needs to be exported/.exec(message.text)?.[1];
      if (name !== undefined) borrowed.add(name);
    },
  });
  if (result.errorCount > 0) throw new Error(`${entry.name}: ${errors.join("\n")}`);
  const text = readFileSync(join(folder, `${entry.name}.api.md`), "utf8");
  return { entry, text, borrowed: [...borrowed].sort() };
}

/** @returns the names that a report exports */
export function exportedNames(report: Report): string[] {
  const declared = report.text.matchAll(
    /^export (?:declare )?(?:abstract )?(?:interface|type|class|function|const|enum) (\w+)/gm,
  );
  return [...declared].map((match) => match[1] ?? "");
}

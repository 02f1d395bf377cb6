/** This package's version, as in package.json; test/indexer/report.test.ts holds them together. */
export const VERSION = "0.1.0";

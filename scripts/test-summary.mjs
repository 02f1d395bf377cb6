/**
 * Restates a test run, read from vitest's JSON report, as one line: `N passed, N failed`.
 * A file that fails before its tests (an import that throws) counts as one failure. Ends with 1 if anything failed.
 *
 *     node scripts/test-summary.mjs <report.json>
 */
import { readFileSync } from "node:fs";

const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
const brokenFiles = report.testResults.filter(
  (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
);
const failed = report.numFailedTests + brokenFiles.length;
const others = report.numPendingTests + report.numTodoTests;
if (others > 0) console.log(`${others} skipped or todo`);
console.log(`${report.numPassedTests} passed, ${failed} failed`);
if (failed > 0 || !report.success) process.exitCode = 1;

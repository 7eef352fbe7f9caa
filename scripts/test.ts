import { parseCLI, startVitest } from "vitest/node";

/**
 * Runs all tests, or those that Vitest's options and filters on the command line choose, and closes with one plain line
 * of counts that every CI system can read.
 */
const { filter, options } = parseCLI(["vitest", "run", ...process.argv.slice(2)]);
const vitest = await startVitest("test", filter, options);
const tests = vitest.state.getTestModules().flatMap((module) => [...module.children.allTests()]);
const count = (state: string): number => tests.filter((test) => test.result().state === state).length;
const broken = vitest.state
  .getTestModules()
  .filter((module) => !module.ok() && module.errors().length > 0).length;
const failed = count("failed") + broken + vitest.state.getUnhandledErrors().length;
await vitest.close();
console.log(`${count("passed")} passed, ${failed} failed, ${count("skipped")} skipped`);
process.exit(failed > 0 || tests.length === 0 ? 1 : 0);

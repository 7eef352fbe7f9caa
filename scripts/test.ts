import { startVitest } from "vitest/node";

/**
 * Runs all tests, or those named on the command line, and closes with one plain line of counts that every CI
 * system can read.
 */
const { filters, project } = parse(process.argv.slice(2));
const vitest = await startVitest("test", filters, {
  run: true,
  watch: false,
  ...(project === null ? {} : { project }),
});
const tests = vitest.state.getTestModules().flatMap((module) => [...module.children.allTests()]);
const count = (state: string): number => tests.filter((test) => test.result().state === state).length;
const broken = vitest.state
  .getTestModules()
  .filter((module) => !module.ok() && module.errors().length > 0).length;
const failed = count("failed") + broken + vitest.state.getUnhandledErrors().length;
await vitest.close();
console.log(`${count("passed")} passed, ${failed} failed, ${count("skipped")} skipped`);
process.exit(failed > 0 || tests.length === 0 ? 1 : 0);

/** `--project NAME` may come several times; everything else filters test files by their path. */
function parse(args: readonly string[]): { filters: string[]; project: string[] | null } {
  const projects: string[] = [];
  const files: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    if (arg === "--project") projects.push(args[++i] ?? "");
    else files.push(arg);
  }
  return { filters: files, project: projects.length === 0 ? null : projects };
}

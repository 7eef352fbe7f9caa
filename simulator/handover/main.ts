import { BadOption, runHandover } from "./cli.ts";

/** `npm run simulate:handover`. Exit code 1 if an invariant was broken, 2 for options that cannot be used. */

try {
  const isGood = await runHandover(process.argv.slice(2), (line) => process.stdout.write(`${line}\n`));
  process.exitCode = isGood ? 0 : 1;
} catch (error) {
  if (!(error instanceof BadOption)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

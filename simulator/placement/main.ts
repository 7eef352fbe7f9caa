import { BadInput } from "./bad-input.ts";
import { runSimulate } from "./cli.ts";

/** `npm run simulate`. Exit code 2 for options or files that cannot be used. */

try {
  await runSimulate(process.argv.slice(2), (text) => console.log(text));
} catch (error) {
  if (!(error instanceof BadInput)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { ROOT } from "../scripts/root.ts";
import { measureUnits } from "./bill/measure.ts";
import { pageOf } from "./bill/page.ts";
import { cleanUp } from "./support/processes.ts";

/** `npm run bill`: counts for some minutes what Cloudflare would charge for, and writes docs/costs.md. */

const USAGE = `npm run bill

Takes some four minutes on a quiet machine. It has no options but --help.`;

readOptions(process.argv.slice(2));

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void cleanUp().then(() => process.exit(130)));
}
try {
  const page = pageOf(await measureUnits(), new Date());
  writeFileSync(join(ROOT, "docs/costs.md"), page);
  process.stdout.write(`${page}\n`);
} finally {
  await cleanUp();
}
// Agents of clients keep their connections for a while.
process.exit(0);

/** Prints how it is used and ends the process if the arguments are wrong, or ask for it. */
function readOptions(args: string[]): void {
  try {
    if (parseArgs({ args, options: { help: { type: "boolean", short: "h" } } }).values.help !== true) return;
    process.stdout.write(`${USAGE}\n`);
    process.exit(0);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`);
    process.exit(2);
  }
}

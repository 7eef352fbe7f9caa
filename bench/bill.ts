import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { ROOT } from "../scripts/root.ts";
import { measureUnits } from "./bill/measure.ts";
import { pageOf } from "./bill/page.ts";
import { cleanUp } from "./support/processes.ts";

/** `npm run bill`: counts for some minutes what Cloudflare would charge for, and writes docs/costs.md. */

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

import { parseArgs } from "node:util";

import { CHECKS, runChecks } from "./conformance/checks.ts";
import type { Target } from "./conformance/target.ts";
import { UserError } from "./user-error.ts";

/** `npm run conformance`: holds any server of OpenAI's API to what its clients rely on. */

const HELP = `Checks whether a server answers as clients of OpenAI's API expect: models, chats, responses, refusals.

  npm run conformance -- --base-url https://pool.example.com/v1 --model gpt-oss-20b --key pk_...

  --base-url URL  as clients are given it
  --model ID      a model that chats
  --key KEY       an API key; or OPENAI_API_KEY
  --only PREFIX   only checks whose name begins so, such as chat.stream
  --json          one JSON document, for programs
  --help

Exit code: 0 if all rules are kept, 1 if one is broken, 2 for a mistake on the command line.`;

interface Options {
  readonly target: Target;
  readonly only: string;
  readonly json: boolean;
}

/** @returns null if help was asked for. @throws UserError */
function readOptions(args: readonly string[]): Options | null {
  const values = parse(args);
  if (values.help === true) return null;
  const { "base-url": url, model, key = process.env["OPENAI_API_KEY"], only = "", json = false } = values;
  if (url === undefined || model === undefined || key === undefined) {
    throw new UserError('--base-url, --model and --key (or OPENAI_API_KEY) are needed. See "--help".');
  }
  if (!URL.canParse(url)) throw new UserError(`--base-url ${url} is not a URL.`);
  if (!CHECKS.some(({ id }) => id.startsWith(only))) throw new UserError(`no check begins with ${only}.`);
  return { target: { baseUrl: url.replace(/\/+$/, ""), key, model }, only, json };
}

function parse(args: readonly string[]) {
  try {
    const text = { type: "string" } as const;
    const yes = { type: "boolean" } as const;
    const options = { "base-url": text, model: text, key: text, only: text, json: yes, help: yes };
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw new UserError(`${error instanceof Error ? error.message : String(error)} See "--help".`);
  }
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === null) {
    console.log(HELP);
    return 0;
  }
  const { target, only, json } = options;
  const checks = CHECKS.filter(({ id }) => id.startsWith(only));
  const findings = await runChecks(target, checks, ({ id, rule, breach }) => {
    if (json) return;
    console.log(`${breach === null ? "ok  " : "FAIL"} ${id}: ${rule}`);
    if (breach !== null) console.log(`       ${breach}`);
  });
  const broken = findings.filter(({ breach }) => breach !== null).length;
  if (json)
    console.log(JSON.stringify({ base_url: target.baseUrl, model: target.model, broken, findings }, null, 2));
  else console.log(`${findings.length - broken} of ${findings.length} rules are kept.`);
  return broken === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

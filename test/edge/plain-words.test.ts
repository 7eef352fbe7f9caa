import { expect, it } from "vitest";

import { ADMIN, catalogEntry, fetchEdge, scene } from "./scene.ts";

/**
 * Whatever is wrong with what somebody sends, the answer names the field and says what it must be, in words for people and not
 * in those of the schema library. Right bodies, each spoilt in every way at every place.
 */

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string; readonly param: string | null };
}

const WRONG: readonly Json[] = [null, true, -1, 2.5, 1e15, "", "\u0000", [], [7], {}, { a: 7 }];
const RAW = /invalid|expected|received|undefined|too (small|big)|unrecognized|\bstring\b|\bNaN\b|\[object/i;

const message = { role: "user", content: [{ type: "text", text: "a" }], name: "b" };
const tool = { type: "function", function: { name: "look", parameters: {} } };
const chat: Json = {
  model: "none",
  messages: [message],
  stream: true,
  stream_options: { include_usage: true },
  n: 1,
  max_tokens: 5,
  temperature: 1,
  seed: 7,
  stop: ["a"],
  tools: [tool],
  tool_choice: { type: "function", function: { name: "look" } },
  response_format: { type: "text" },
  logprobs: false,
};
const responses: Json = {
  model: "none",
  input: [{ type: "message", role: "user", content: [{ type: "input_text", text: "a" }] }],
  instructions: "b",
  tools: [{ type: "function", name: "look", parameters: {}, strict: true }],
  tool_choice: { type: "function", name: "look" },
  text: { format: { type: "text" } },
  metadata: { a: "b" },
  reasoning: { effort: "low" },
  include: ["a"],
};
const completion: Json = { model: "none", prompt: "a", echo: false, best_of: 1, suffix: "", logprobs: null };
const embedding: Json = {
  model: "none",
  input: ["a", "b"],
  encoding_format: "float",
  dimensions: 8,
  user: "ann",
};
const key: Json = {
  owner: "acme",
  name: "test",
  requests_per_minute: 5,
  tokens_per_minute: 5,
  priority: "low",
};
const limits: Json = { requests_per_minute: 5, priority: "low" };
const entry = catalogEntry("spoilt", {
  aliases: ["spoilt-alias"],
  floor: 1,
  cap: 2,
  priority: 1,
  decode_floor_tps: 5,
  max_concurrency: 4,
}) as Json;
const simulation: Json = {
  demand: { none: { requests_per_second: 2, prompt_tokens: 900, output_tokens: 200, dispersion: 1 } },
  models: { none: { floor: 2, cap: 8, priority: 1 } },
  machines: { "studio-7f3a": { offline: true } },
  max_loads_per_tick: 8,
  max_pending_loads: 16,
  min_dwell_seconds: 0,
};

it.each<[string, string, Json, "client" | "admin"]>([
  ["POST", "/chat/completions", chat, "client"],
  ["POST", "/responses", responses, "client"],
  ["POST", "/completions", completion, "client"],
  ["POST", "/embeddings", embedding, "client"],
  ["PUT", "/admin/catalog", [entry], "admin"],
  ["PUT", "/admin/catalog/spoilt", entry, "admin"],
  ["POST", "/admin/keys", key, "admin"],
  ["PATCH", "/admin/keys/ID", limits, "admin"],
  ["POST", "/admin/provider-tokens", { owner: "acme", name: "test" }, "admin"],
  ["PUT", "/admin/flags/queue_max", { value: "32" }, "admin"],
  ["PUT", "/admin/flags/min_provider_version", { value: "none" }, "admin"],
  ["PUT", "/admin/flags/shed_models", { value: "gpt-oss" }, "admin"],
  ["POST", "/admin/machines/mac-1/pin", { model_id: "none" }, "admin"],
  ["POST", "/admin/placement/simulate", simulation, "admin"],
])("%s %s", async (method, path, right, who) => {
  const at = await scene();
  const authorization = `Bearer ${who === "admin" ? ADMIN : at.apiKey}`;
  const ask = (body: string): Promise<Response> =>
    fetchEdge(`/v1${path.replace("ID", at.keyId)}`, { method, headers: { authorization }, body });
  const raw: string[] = [];
  let refused = 0;
  for (const body of ["", "{", "nonsense", ...spoilt(right).map((json) => JSON.stringify(json))]) {
    const response = await ask(body);
    const text = await response.text();
    expect(response.status, body).toBeLessThan(504);
    expect(response.status, body).not.toBe(500);
    if (response.status !== 400) continue;
    refused += 1;
    const { error } = JSON.parse(text) as ErrorBody;
    const field = error.param?.replace(/^\[\d+\]\.?/, "") ?? "body";
    // Words of the JSON parser say where a body breaks off; those of a flag name the flag.
    const said = error.message.replace(/not valid JSON.*/, "");
    const isNamed =
      error.code !== "invalid_request" ||
      [field, path.split("/").at(-1)].some((name = "") => said.includes(name));
    const isPlain = !RAW.test(said) && isNamed;
    if (!isPlain) raw.push(`${body}: ${error.param} ${error.message}`);
  }
  expect(raw).toEqual([]);
  expect(refused).toBeGreaterThan(5);
});

it.each([
  ["/admin/usage?days=x", "days"],
  ["/admin/demand?days=0", "days"],
  ["/admin/keys?cursor=x", "cursor"],
  ["/admin/usage?days=1&days=7", "days"],
  ["/admin/usage?day=7", "day"],
  ["/admin/demand/fleet?day=7", "day"],
  ["/admin/keys?limit=5", "limit"],
  ["/admin/machines/mac-1?model_id=a", "model_id"],
  ["/admin/flags?name=placement", "name"],
  ["/admin/utilization?pool=a", "pool"],
  ["/providers/explain", "machine"],
  ["/providers/explain?machine=A", "machine"],
])("GET %s", async (path, param) => {
  const { token } = await scene();
  const authorization = `Bearer ${path.startsWith("/admin") ? ADMIN : token}`;
  const response = await fetchEdge(`/v1${path}`, { headers: { authorization } });
  const { error } = await response.json<{ error: { message: string; param: string } }>();
  expect(response.status).toBe(400);
  expect(error.param).toBe(param);
  expect(error.message).not.toMatch(RAW);
  expect(error.message).toMatch(new RegExp(`^${param}: `));
});

/** The body with each place of it spoilt in turn, left out, or joined by a field that does not exist. */
function spoilt(json: Json): Json[] {
  const here: Json[] = [...WRONG];
  if (Array.isArray(json)) {
    const [first, ...rest] = json as Json[];
    return first === undefined ? here : [...here, ...spoilt(first).map((one) => [one, ...rest])];
  }
  if (typeof json !== "object" || json === null) return here;
  const fields = json as Record<string, Json>;
  here.push({ ...fields, nonsense: 1 });
  for (const [name, value] of Object.entries(fields)) {
    const { [name]: left, ...others } = fields;
    void left;
    here.push(others, ...spoilt(value).map((one) => ({ ...fields, [name]: one })));
  }
  return here;
}

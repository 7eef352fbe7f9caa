import { z } from "zod";

import type { Check } from "./check.ts";
import { expectShape, expectThat, jsonOf, send, type Ask, type Target } from "./target.ts";

/** What is refused must be refused with the right status, in the envelope that SDKs read, and with an id to ask about. */

const envelopeSchema = z.object({
  error: z.object({
    message: z.string().min(1),
    type: z.string().min(1),
    code: z.string().nullable(),
    param: z.string().nullable(),
  }),
});

const CHAT = "/chat/completions";
const MESSAGES = [{ role: "user", content: "Hello" }];

/** @returns the field at fault, if the server names one. */
async function refused(
  target: Target,
  path: string,
  ask: Ask,
  ...statuses: number[]
): Promise<string | null> {
  const response = await send(target, path, ask);
  const { status } = response;
  expectThat(statuses.includes(status), `status ${status} instead of ${statuses.join(" or ")}`);
  const id = response.headers.get("x-request-id") ?? "";
  expectThat(id !== "", "the refusal has no x-request-id");
  return expectShape(envelopeSchema, await jsonOf(response, status), "the refusal").error.param;
}

function refusal(
  id: string,
  rule: string,
  of: (target: Target) => [path: string, ask: Ask],
  ...statuses: number[]
): Check {
  return { id, rule, run: async (target) => void (await refused(target, ...of(target), ...statuses)) };
}

const chatWith =
  (fields: object) =>
  ({ model }: Target): [string, Ask] => [CHAT, { body: { model, messages: MESSAGES, ...fields } }];

export const REFUSAL_CHECKS: readonly Check[] = [
  refusal("refusal.key", "a wrong key is 401", () => ["/models", { key: "wrong" }], 401),
  refusal(
    "refusal.model",
    "a model that does not exist is 404",
    () => [CHAT, { body: { model: "no/such-model", messages: MESSAGES } }],
    404,
  ),
  refusal("refusal.json", "what is no JSON is 400", () => [CHAT, { body: "{no" }], 400),
  refusal("refusal.messages", "a chat without messages is 400", chatWith({ messages: undefined }), 400, 422),
  refusal(
    "refusal.role",
    "a message of an unknown role is 400",
    chatWith({ messages: [{ role: "x", content: "" }] }),
    400,
    422,
  ),
  refusal("refusal.max_tokens", "an answer of no tokens is 400", chatWith({ max_tokens: 0 }), 400, 422),
  refusal("refusal.route", "an address that does not exist is 404", () => ["/no-such-route", {}], 404),
  refusal("refusal.method", "another method is 405, or 404", () => [CHAT, { method: "GET" }], 405, 404),
  {
    id: "refusal.n",
    rule: "n: 2 gives two choices, or is 400 and names the field",
    async run(target) {
      const [path, ask] = chatWith({ n: 2, max_tokens: 4 })(target);
      const response = await send(target, path, ask);
      if (response.status === 200) {
        const two = z.object({ choices: z.array(z.unknown()).length(2) });
        expectShape(two, await jsonOf(response, 200), "the completion");
        return;
      }
      await response.body?.cancel();
      const param = await refused(target, path, ask, 400, 422);
      expectThat(param === "n", `param is ${param ?? "null"}, not n`);
    },
  },
];

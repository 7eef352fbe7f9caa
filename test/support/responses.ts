import { responsesRequestSchema, responsesToChat } from "../../worker/openai/responses-request.ts";
import { validate } from "../../worker/validate.ts";
import { apiErrorOf } from "./translation.ts";

/** The chat that a request of the Responses API becomes, as a machine is sent it. */
export function chatOf(fields: object): Record<string, unknown> {
  const request = validate(responsesRequestSchema, { model: "m", input: "hi", ...fields });
  return JSON.parse(JSON.stringify(responsesToChat(request))) as Record<string, unknown>;
}

/** What is said of one that becomes none. */
export function refusalOf(fields: object): object {
  return apiErrorOf(() => chatOf(fields));
}

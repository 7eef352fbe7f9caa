import { BYTES_PER_TOKEN } from "../../core/limits.ts";
import { messagesToChat, type MessagesRequest } from "./messages-request.ts";

/**
 * About how many tokens a request's prompt takes. Only machines have tokenizers, so it is told from the length of the
 * chat that they would be sent.
 * @throws HttpError 400 for what the Messages API would refuse
 */
export function estimateTokens(request: MessagesRequest): number {
  const chat = new TextEncoder().encode(JSON.stringify(messagesToChat(request)));
  return Math.ceil(chat.byteLength / BYTES_PER_TOKEN);
}

import { translateAnswer, type Translator } from "../../worker/openai/translate-answer.ts";
import { CHUNKS, translatorTo } from "../support/translation.ts";
import type { FakeProvider } from "./fake-provider.ts";
import { fetchEdge, type Scene } from "./scene.ts";

/** Chats that become the answers of other APIs, through the Worker or its translators. */

/** The events of a response. @param broken what the pool's stream ends with, if not cleanly. */
export function translated(pieces: readonly Uint8Array[], broken?: Error): Promise<string> {
  return translatedBy(translatorTo({}), pieces, broken);
}

export async function translatedBy(
  translator: Translator,
  pieces: readonly Uint8Array[],
  broken?: Error,
): Promise<string> {
  const rest = [...pieces];
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = rest.shift();
      if (piece !== undefined) controller.enqueue(piece);
      else if (broken === undefined) controller.close();
      else controller.error(broken);
    },
  });
  const chat = new Response(body, { headers: { "content-type": "text/event-stream" } });
  return (await translateAnswer(chat, translator)).text();
}

export function post(at: Scene, fields: object, path = "/v1/responses"): Promise<Response> {
  return fetchEdge(path, {
    method: "POST",
    headers: { authorization: `Bearer ${at.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ model: at.model, ...fields }),
  });
}

/** A stream of which a machine has written the beginning, and goes on running. */
export async function begun(
  at: Scene,
  machine: FakeProvider,
  question: object = { input: "hi" },
  path = "/v1/responses",
) {
  const pending = post(at, { ...question, stream: true }, path);
  const request = await machine.next("inference_request");
  machine.accept(request);
  machine.bytes(request, `data: ${JSON.stringify(CHUNKS[1])}\n\n`);
  return { request, response: await pending };
}

import OpenAI from "openai";

/** What one streamed chat of the demo measured. */
export interface ChatFigures {
  readonly text: string;
  readonly completionTokens: number;
  /** From sending the request to the first token, in ms. */
  readonly firstTokenMs: number;
  /** From sending the request to the last token, in ms. A speed between the two would be that of the last flush. */
  readonly lastTokenMs: number;
}

/** Streams one chat with the official client and prints the answer as it arrives. */
export async function demoChat(
  baseUrl: string,
  apiKey: string,
  model: string,
  question: string,
  write: (text: string) => void,
): Promise<ChatFigures> {
  const client = new OpenAI({ baseURL: baseUrl, apiKey });
  const startedAt = performance.now();
  const stream = await client.chat.completions.create({
    model,
    messages: [{ role: "user", content: question }],
    stream: true,
    stream_options: { include_usage: true },
    temperature: 0.7,
    top_p: 0.9,
    seed: 7,
  });
  let text = "";
  let completionTokens = 0;
  let firstAt: number | null = null;
  let lastAt = startedAt;
  for await (const chunk of stream) {
    const piece = chunk.choices[0]?.delta.content ?? "";
    if (piece !== "") {
      lastAt = performance.now();
      firstAt ??= lastAt;
      text += piece;
      write(piece);
    }
    completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
  }
  const firstTokenMs = (firstAt ?? lastAt) - startedAt;
  return { text, completionTokens, firstTokenMs, lastTokenMs: lastAt - startedAt };
}

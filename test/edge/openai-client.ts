import OpenAI from "openai";

import { edge, type Scene } from "./scene.ts";

/** The official client of OpenAI's API, which asks the Worker and tries nothing twice. */
export function openaiOf(at: Scene): OpenAI {
  return new OpenAI({
    apiKey: at.apiKey,
    baseURL: "http://edge/v1",
    maxRetries: 0,
    fetch: (input, init) => edge(new Request(input, init)),
  });
}

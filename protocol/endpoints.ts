/** What a machine may be asked for: the `endpoint` of an `inference_request`, named after OpenAI's paths. */

export const CHAT_ENDPOINT = "/v1/chat/completions";

export const EMBEDDINGS_ENDPOINT = "/v1/embeddings";

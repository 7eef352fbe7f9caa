import { encodeError, type ApiError } from "../core/api-error.ts";
import { RESPONSES_PER_CONNECTION, WAITING_ON_CONNECTION_MAX } from "../core/limits.ts";
import { logError, logWarning } from "../durable-objects/log.ts";
import { MAX_REQUEST_BODY_BYTES } from "../protocol/limits.ts";
import { HttpError } from "./http-error.ts";
import { Conversations } from "./openai/conversations.ts";
import { encodeSocketError, readCreate, ResponseTurn } from "./openai/response-turn.ts";
import { SseReader } from "./openai/sse-reader.ts";

/** Sends the body to `POST /v1/responses` with the client's key; the signal aborts the request. */
type Post = (body: string, signal: AbortSignal) => Promise<Response>;

/**
 * One client's WebSocket of the Responses API. Requests are answered strictly in order, errors included, so an event always
 * belongs to the oldest unanswered request.
 */
export class ResponsesConnection {
  readonly #socket: WebSocket;
  readonly #post: Post;
  readonly #conversations = new Conversations();
  readonly #waiting: string[] = [];
  readonly #left = new AbortController();
  #taken = 0;
  #isAnswering = false;
  #isExpired = false;

  constructor(socket: WebSocket, post: Post) {
    this.#socket = socket;
    this.#post = post;
  }

  /** Aborted once the connection is over. */
  get over(): AbortSignal {
    return this.#left.signal;
  }

  /** Handles a message of the client. Settles when it and those that arrived meanwhile are answered; never rejects. */
  async receive(text: string): Promise<void> {
    if (this.over.aborted) return;
    this.#waiting.push(text);
    if (this.#isAnswering) {
      if (this.#isFlooded()) this.#end(FLOODED, 1008);
      return;
    }
    this.#isAnswering = true;
    for (let next = this.#next(); next !== null; next = this.#next()) await this.#answer(next);
    this.#isAnswering = false;
  }

  /** The connection's time is up. A running request may finish, because the conversation is lost with the connection. */
  expire(): void {
    this.#isExpired = true;
    if (!this.#isAnswering) this.#end(LIMIT_REACHED, 1001);
  }

  /** The client has disconnected: aborts what runs. */
  close(): void {
    this.#waiting.length = 0;
    this.#left.abort();
  }

  #next(): string | null {
    const text = this.#waiting.shift();
    if (this.over.aborted) return null;
    if (this.#isExpired) this.#end(LIMIT_REACHED, 1001);
    if (text === undefined || this.#isExpired) return null;
    this.#taken += 1;
    if (this.#taken >= RESPONSES_PER_CONNECTION) this.#isExpired = true;
    return text;
  }

  #isFlooded(): boolean {
    const chars = this.#waiting.reduce((sum, text) => sum + text.length, 0);
    return this.#waiting.length > WAITING_ON_CONNECTION_MAX || chars > MAX_REQUEST_BODY_BYTES;
  }

  async #answer(text: string): Promise<void> {
    let lane: string | null = null;
    let turn: ResponseTurn;
    try {
      const create = readCreate(text);
      lane = create.stream_id ?? null;
      turn = new ResponseTurn(create, this.#conversations);
    } catch (error) {
      this.#send(encodeSocketError(encodeError(toApiError(error)), lane));
      return;
    }
    try {
      await this.#run(turn);
    } catch (error) {
      if (!this.over.aborted) this.#send(turn.fail(encodeError(toApiError(error))));
    }
  }

  async #run(turn: ResponseTurn): Promise<void> {
    const response = await this.#ask(turn.body);
    if (response === null) return;
    if (!response.ok || response.body === null) {
      const { status, headers } = response;
      this.#send(turn.fail({ status, headers: Object.fromEntries(headers), body: await response.text() }));
      return;
    }
    const sse = new SseReader();
    for await (const chunk of response.body) {
      const bytes: unknown = chunk;
      if (!(bytes instanceof Uint8Array)) continue;
      for (const { type, text } of sse.feed(bytes)) {
        if (type === "data" && !turn.isOver) this.#send(turn.event(text));
      }
    }
    if (!turn.isOver) this.#send(turn.fail(encodeError(CUT_OFF)));
  }

  /**
   * Null if the connection has to end. The route answers every request, so if the call itself fails, the platform has
   * refused to make it: it limits the calls per connection. The client can go on over a new connection.
   */
  async #ask(body: string): Promise<Response | null> {
    try {
      return await this.#post(body, this.over);
    } catch (error) {
      if (this.over.aborted) return null;
      logWarning("loopback_refused", { taken: this.#taken, error: String(error) });
      this.#end(LIMIT_REACHED, 1001);
      return null;
    }
  }

  #end(error: ApiError, code: number): void {
    this.#send(encodeSocketError(encodeError(error), null));
    this.close();
    this.#socket.close(code, error.code);
  }

  #send(event: string): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(event);
  }
}

const FLOODED: ApiError = {
  code: "slow_down",
  message: `at most ${WAITING_ON_CONNECTION_MAX} requests wait on one connection; open several`,
};

const LIMIT_REACHED: ApiError = {
  code: "websocket_connection_limit_reached",
  message: "the connection has lasted as long, or taken as many requests, as one may; open a new one",
};

const CUT_OFF: ApiError = { code: "provider_error", message: "the answer was cut off; try again" };

/** Logged without the error's message, which may quote the answer. */
function toApiError(error: unknown): ApiError {
  if (error instanceof HttpError) return error.apiError;
  logError("internal_error", { error: error instanceof Error ? error.name : "unknown" });
  return { code: "internal", message: "internal error; try again" };
}

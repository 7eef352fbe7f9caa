import { z } from "zod";

import type { EncodedError } from "../../core/api-error.ts";
import { parseJson } from "../body.ts";
import { HttpError } from "../http-error.ts";
import { validate } from "../validate.ts";
import type { Conversation, Conversations } from "./conversations.ts";

/**
 * One turn on a WebSocket of the Responses API, sans IO: the client's `response.create` becomes the body of a
 * `POST /v1/responses`, and what that answers becomes the events of the turn. Each turn has exactly one last event:
 * a response that is completed, incomplete or failed, or an `error`.
 */

const createSchema = z.looseObject({
  type: z.literal("response.create", { error: "the only event that is taken is response.create" }),
  stream_id: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,256}$/, "must have 1 to 256 characters: letters, digits, _, - and .")
    .optional(),
  previous_response_id: z.string().nullish(),
});

export type ResponseCreate = z.infer<typeof createSchema>;

/** @throws HttpError 400 */
export function readCreate(text: string): ResponseCreate {
  return validate(createSchema, parseJson(text, "an event is a text frame of JSON; this one"));
}

/** Of our own events, what is read and changed on their way. */
const eventSchema = z.looseObject({
  type: z.string(),
  response: z.looseObject({ id: z.string(), output: z.array(z.unknown()) }).optional(),
});

export class ResponseTurn {
  /** What to post. */
  readonly body: string;
  readonly #lane: string | null;
  readonly #conversations: Conversations;
  readonly #previous: Conversation | null;
  readonly #items: readonly unknown[];
  #isOver = false;

  /** @throws HttpError 400 `previous_response_not_found` */
  constructor(create: ResponseCreate, conversations: Conversations) {
    const { type: _, stream_id: lane = null, previous_response_id: previousId, ...request } = create;
    this.#lane = lane;
    this.#conversations = conversations;
    this.#previous = previousId == null ? null : conversations.find(previousId);
    if (previousId != null && this.#previous === null) throw notFound(previousId);
    const items = toItems(request["input"]);
    this.#items = items ?? [];
    const input =
      this.#previous === null || items === null ? request["input"] : [...this.#previous.items, ...items];
    this.body = JSON.stringify({ ...request, input, stream: true });
  }

  /** Whether the turn has had its last event. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** An event of the stream as the WebSocket's client gets it. */
  event(text: string): string {
    const event = eventSchema.parse(JSON.parse(text));
    const { type, response } = event;
    if (response !== undefined) {
      response["previous_response_id"] = this.#previous?.id ?? null;
      if (type === "response.completed" || type === "response.incomplete") this.#keep(response);
      if (type === "response.failed") this.#forget();
    }
    return JSON.stringify(onLane(event, this.#lane));
  }

  /** The last event of a turn that was refused or broke off. */
  fail(error: EncodedError): string {
    this.#forget();
    return encodeSocketError(error, this.#lane);
  }

  #keep({ id, output }: { id: string; output: readonly unknown[] }): void {
    this.#isOver = true;
    const said = [...this.#items, ...output];
    this.#conversations.keep(this.#lane ?? DEFAULT_LANE, {
      id,
      items: [...(this.#previous?.items ?? []), ...said],
      chars: (this.#previous?.chars ?? 0) + JSON.stringify(said).length,
    });
  }

  /**
   * A failed turn forgets the response that it continued, if it is this lane's latest; another lane may still go on from it.
   */
  #forget(): void {
    this.#isOver = true;
    if (this.#previous !== null) {
      this.#conversations.forget(this.#lane ?? DEFAULT_LANE, this.#previous.id);
    }
  }
}

/** An error's HTTP answer as an event; its headers, such as `retry-after`, are in it. */
export function encodeSocketError({ status, headers: all, body }: EncodedError, lane: string | null): string {
  const { error } = envelopeSchema.parse(JSON.parse(body));
  const { "content-type": _, ...headers } = all;
  return JSON.stringify(onLane({ type: "error", status, error: { ...error, headers } }, lane));
}

const envelopeSchema = z.object({ error: z.looseObject({ code: z.string(), message: z.string() }) });

/** No client can name it. */
const DEFAULT_LANE = "";

function onLane(event: object, lane: string | null): object {
  return lane === null ? event : { ...event, stream_id: lane };
}

/** Null for what is no input at all; it is refused with the rest of the body. */
function toItems(input: unknown): readonly unknown[] | null {
  if (typeof input === "string") return [{ type: "message", role: "user", content: input }];
  return Array.isArray(input) ? input : null;
}

function notFound(id: string): HttpError {
  return new HttpError({
    code: "previous_response_not_found",
    param: "previous_response_id",
    message: `this connection does not remember the response "${id.slice(0, 100)}"; send the whole conversation`,
  });
}

import { encodeError, type ApiError } from "../core/api-error.ts";

/** Thrown by middleware and routes for every error a client should see; turned into a response in `app.ts`. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly apiError: ApiError;

  constructor(apiError: ApiError) {
    super(apiError.message);
    this.apiError = apiError;
  }
}

export function errorResponse(error: ApiError, echoedId: string): Response {
  const { status, headers, body } = encodeError(error);
  return new Response(body, { status, headers: { ...headers, "x-request-id": echoedId } });
}

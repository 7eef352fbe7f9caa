import { askPool, type Question } from "./ask-pool.ts";
import { requireModel } from "./catalog.ts";
import type { AppContext } from "./context.ts";
import { errorResponse, HttpError } from "./http-error.ts";
import { withHeaders } from "./with-headers.ts";

/** The model that answered or refused; set only if there were fallbacks. */
const MODEL_HEADER = "x-pool-model";

/** An answer, or a refusal. */
export interface Answer {
  readonly response: Response;
  /** The model it came from, as the client named it. */
  readonly model: string;
}

/**
 * Sends the request to its model and, as long as a model refuses it for lack of capacity, to the client's next choice.
 * Pools never spill over by themselves: each of these attempts is a request that the client asked for.
 *
 * @param fallbacks ids or aliases, in the client's order; may be empty.
 * @returns the first response that is not such a refusal, or else the refusal with the shortest `Retry-After`.
 * @throws HttpError
 */
export async function askInTurn(
  context: AppContext,
  question: Question,
  fallbacks: readonly string[],
): Promise<Answer> {
  if (fallbacks.length === 0) return { response: await askPool(context, question), model: question.model };
  let best: Answer | null = null;
  for (const { id, name } of await modelsOf(context, [question.model, ...fallbacks])) {
    const response = withHeaders(await answerOf(context, forModel(question, name)), [[MODEL_HEADER, id]]);
    const isKept =
      best === null || !isTurnedAway(response) || retryAfterMs(response) < retryAfterMs(best.response);
    // The other response is not read.
    await (isKept ? best?.response : response)?.body?.cancel();
    if (isKept) best = { response, model: name };
    if (!isTurnedAway(response)) break;
  }
  if (best === null) throw new Error("a list of models that begins with one is not empty");
  return best;
}

interface Choice {
  /** In the catalog. */
  readonly id: string;
  /** As the client wrote it. */
  readonly name: string;
}

/** Looks all of them up first, so that a typo in a fallback shows at once and not only when it is needed. */
async function modelsOf({ env }: AppContext, names: readonly string[]): Promise<readonly Choice[]> {
  const choices = new Map<string, Choice>();
  for (const [index, name] of names.entries()) {
    const { id } = await requireModel(env, name, index === 0 ? "model" : `models[${index - 1}]`);
    if (!choices.has(id)) choices.set(id, { id, name });
  }
  return [...choices.values()];
}

/** Machines repeat the model's name from the request in their answer. */
function forModel(question: Question, name: string): Question {
  if (name === question.model) return question;
  const fields: unknown = JSON.parse(question.text);
  return { ...question, model: name, text: JSON.stringify(Object.assign({}, fields, { model: name })) };
}

async function answerOf(context: AppContext, question: Question): Promise<Response> {
  try {
    return await askPool(context, question);
  } catch (error) {
    if (error instanceof HttpError) return errorResponse(error.apiError, context.get("echoedId"));
    throw error;
  }
}

/** Not for the key's own limit, which applies to every model, nor for other failures, which would fail again. */
function isTurnedAway({ status, headers }: Response): boolean {
  return status === 503 || (status === 429 && headers.get("x-pool-reason") !== "rate_limited");
}

function retryAfterMs({ headers }: Response): number {
  if (headers.get("x-should-retry") === "false") return Infinity;
  return Number(headers.get("retry-after-ms") ?? Infinity);
}

import { askPool, type Question } from "./ask-pool.ts";
import { requireModel } from "./catalog.ts";
import type { AppContext } from "./context.ts";
import { errorResponse, HttpError } from "./http-error.ts";
import { withHeaders } from "./with-headers.ts";

/** Which model answered, or whose refusal it is; only where there was a choice. */
const MODEL_HEADER = "x-pool-model";

/** An answer, or a refusal. */
export interface Answer {
  readonly response: Response;
  /** Whose it is, as the client names it. */
  readonly model: string;
}

/**
 * Asks for the question's model and, as long as a model turns it away for lack of room or machines, for the client's
 * next choice. Pools spill nothing by themselves: each of these is a request of its own, which the client has asked for.
 *
 * @param fallbacks ids or aliases, in the client's order; without any there is nothing to tell of a choice.
 * @returns the first answer that is none, or of several refusals the one that may be tried again first.
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
    // Nobody will read it.
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

/** All of them, so that a slip in the last does not wait for the day on which the others are full. */
async function modelsOf({ env }: AppContext, names: readonly string[]): Promise<readonly Choice[]> {
  const choices = new Map<string, Choice>();
  for (const [index, name] of names.entries()) {
    const { id } = await requireModel(env, name, index === 0 ? "model" : `models[${index - 1}]`);
    if (!choices.has(id)) choices.set(id, { id, name });
  }
  return [...choices.values()];
}

/** Machines answer with the name that they are asked by. */
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

/** The key's own limit holds for every model; what else fails would fail again, or has done work already. */
function isTurnedAway({ status, headers }: Response): boolean {
  return status === 503 || (status === 429 && headers.get("x-pool-reason") !== "rate_limited");
}

function retryAfterMs({ headers }: Response): number {
  if (headers.get("x-should-retry") === "false") return Infinity;
  return Number(headers.get("retry-after-ms") ?? Infinity);
}

import { EngineError } from "../engine.ts";

/** What the library threw in the middle of a request. Its messages may quote texts, so only those of plain errors are passed on. */
export function toRunError(error: unknown, code: string, doing: string): EngineError {
  if (error instanceof EngineError) return error;
  const what = error instanceof Error ? error.constructor.name : "unknown error";
  const detail = what === "Error" && error instanceof Error ? error.message.slice(0, 200) : what;
  return new EngineError("fault", code, `the engine failed while ${doing}: ${detail}`);
}

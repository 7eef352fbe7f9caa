import type { Target } from "./target.ts";

/** One rule of the API that clients rely on. */
export interface Check {
  /** Such as `chat.stream.usage`. */
  readonly id: string;
  /** What must hold, as a sentence. */
  readonly rule: string;
  /** @throws Breach */
  run(target: Target): Promise<void>;
}

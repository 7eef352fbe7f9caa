import { lockDirectory } from "../../provider/src/state/directory-lock.ts";

/** Takes the lock of a directory. @returns "held", or why it is not */
export function attemptLock(directory: string): string {
  try {
    lockDirectory(directory);
    return "held";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

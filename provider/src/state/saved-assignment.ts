import { dirname, join, sep } from "node:path";

import { z } from "zod";

import { epochSchema, modelIdSchema } from "../../../protocol/ids.ts";
import type { HeldAssignment } from "../agent/assignment.ts";
import { reasonOf } from "../reason.ts";
import { UserError } from "../user-error.ts";
import { parseJson, readIfThere, writeFileAtomically } from "./files.ts";

/** The newest order that this machine was given, kept in the state directory across restarts. */

const ASSIGNMENT_FILE = "assignment.json";

const assignmentSchema = z.object({ model_id: modelIdSchema.nullable(), epoch: epochSchema });

/**
 * Reads the assignment; null if the machine was never managed. An unusable file counts as none: the coordinator repeats the
 * order when the machine registers.
 */
export function readAssignment(directory: string): {
  assignment: HeldAssignment | null;
  warning: string | null;
} {
  const path = join(directory, ASSIGNMENT_FILE);
  let problem = "it does not hold a model id and an epoch";
  try {
    const text = readIfThere(path);
    if (text === null) return { assignment: null, warning: null };
    const parsed = assignmentSchema.safeParse(parseJson(text));
    if (parsed.success) {
      const { model_id, epoch } = parsed.data;
      return { assignment: { modelId: model_id, epoch }, warning: null };
    }
  } catch (cause) {
    problem = reasonOf(cause);
  }
  const warning = `ignored ${path}: ${problem}. This machine starts unmanaged and waits for new orders.`;
  return { assignment: null, warning };
}

/**
 * @throws UserError if the file could not be written. The message omits the directory, because it is also sent to the
 * coordinator and a home directory contains its owner's name.
 */
export function writeAssignment(directory: string, { modelId, epoch }: HeldAssignment): void {
  const text = JSON.stringify({ model_id: modelId, epoch }, null, 2);
  const path = join(directory, ASSIGNMENT_FILE);
  try {
    writeFileAtomically(path, `${text}\n`);
  } catch (cause) {
    throw new UserError(reasonOf(cause).replaceAll(`${dirname(path)}${sep}`, ""), { cause });
  }
}

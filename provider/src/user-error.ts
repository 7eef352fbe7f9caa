/** Something that the owner of this machine can put right. Its message says what and how; no stack is shown. */
export class UserError extends Error {
  override readonly name = "UserError";
}

/** A mistake of the person at the keyboard: printed as a sentence, without a stack. */
export class UserError extends Error {
  override readonly name = "UserError";
}

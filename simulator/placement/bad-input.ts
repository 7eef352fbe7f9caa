/** What the user gave cannot be used. The message is a whole sentence; the command prints it and ends with 2. */
export class BadInput extends Error {
  override readonly name = "BadInput";
}

/** What went wrong, in the words of whatever was thrown. An error of the disk loses its paths, which whoever asks names. */
export function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return "syscall" in cause ? cause.message.replace(/, \w+ '.*'$/s, "") : cause.message;
}

/** What the network said; `fetch` hides it one level down. */
export function networkReason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return String(cause);
  // OpenSSL names its own source files here, and not what is wrong.
  if (cause.message.includes("wrong version number"))
    return "that port does not speak TLS: does its address begin with http://?";
  if (cause.message !== "") return cause.message;
  return "code" in cause && typeof cause.code === "string" ? cause.code : cause.name;
}

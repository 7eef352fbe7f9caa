/**
 * The text that a machine signs, as UTF-8, to prove that it holds its key: the challenge's nonce, its time in decimal digits,
 * and the status, concatenated. The status is signed exactly as it is sent, so it needs no canonical form. The result is
 * unambiguous, because all nonces of a coordinator have the same length and a status starts with `{`.
 */
export function attestedText(nonce: string, issuedAt: number, status: string): string {
  return `${nonce}${issuedAt}${status}`;
}

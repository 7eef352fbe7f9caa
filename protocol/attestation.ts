/**
 * What a machine signs, as UTF-8, to prove that it holds its key: the challenge's nonce, the decimal digits of its time, and the
 * status that goes with the answer, one after the other. The status is signed as it is sent, so nobody has to write it the
 * same way twice. All nonces of a coordinator are equally long and a status is an object, so no other challenge and status run
 * together into the same text.
 */
export function attestedText(nonce: string, issuedAt: number, status: string): string {
  return `${nonce}${issuedAt}${status}`;
}

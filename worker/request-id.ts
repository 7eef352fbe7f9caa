/** Request ids: ours is unique, the client's is only echoed. */

const SANE = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/;

/** A new id, `req_` and 32 hexadecimal digits. */
export function newRequestId(): string {
  return `req_${crypto.randomUUID().replaceAll("-", "")}`;
}

/** The id to echo: the client's own if it is a sane one, else ours. */
export function echoedRequestId(offered: string | undefined, own: string): string {
  return offered !== undefined && SANE.test(offered) ? offered : own;
}

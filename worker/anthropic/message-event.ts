/** An event of a streamed message: its type stands in the data too, where some clients look for it. */
export function encodeEvent(type: string, fields: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
}

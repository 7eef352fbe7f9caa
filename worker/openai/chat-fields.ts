/** What a client that has not written the chat itself calls one of its fields, in what is said of a refusal. */
export type FieldOf = (chatField: string) => string;

/** @param names by those of the chat, inner fields before those that hold them. */
export function renameField(field: string, names: readonly (readonly [chat: string, own: string])[]): string {
  for (const [chat, own] of names) {
    const rest = field.slice(chat.length);
    if (field.startsWith(chat) && (rest === "" || /^[.[]/.test(rest))) return own + rest;
  }
  return field;
}

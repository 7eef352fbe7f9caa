/** What a client that has not written the chat itself calls one of its fields, in what is said of a refusal. */
export type FieldOf = (chatField: string) => string;

/** Inner fields stand before those that hold them. */
export type FieldNames = readonly (readonly [chat: string, own: string])[];

export function renameField(field: string, names: FieldNames): string {
  for (const [chat, own] of names) {
    const rest = field.slice(chat.length);
    if (field.startsWith(chat) && (rest === "" || /^[.[]/.test(rest))) return own + rest;
  }
  return field;
}

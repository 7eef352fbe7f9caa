import { hashOf } from "../../core/text-hash.ts";

/** What chats allow; more is cut and told apart by a hash. */
const MAX_NAME_CHARS = 64;

/** A tool's name for machines, which is the same in each request. */
export function toChatName(name: string): string {
  if (name.length <= MAX_NAME_CHARS) return name;
  const hash = hashOf(name).toString(16).padStart(8, "0");
  return `${name.slice(0, MAX_NAME_CHARS - hash.length - 1)}_${hash}`;
}

import { z } from "zod";

import { nearestName } from "./nearest-name.ts";

/**
 * Error messages for invalid fields, for the person who sent them: what the field must be, and what it is instead. Used for
 * everything that operators and clients send, because the schema library's own messages are for programmers. A schema with
 * a message of its own keeps it. The sent value is never quoted: it may be a prompt.
 */
export const fieldProblems: z.core.$ZodErrorMap = function fieldProblems(issue) {
  const demand = demandOf(issue);
  if (demand === null || issue.code === "unrecognized_keys") return demand;
  const sent = sentTo(issue);
  return sent === undefined ? `is required and ${demand}` : demand + insteadOf(issue, sent);
};

type Issue = z.core.$ZodIssue | z.core.$ZodRawIssue;

/** The value that was sent. For a wrong discriminator, the issue has the whole object instead. */
function sentTo(issue: Issue): unknown {
  const { input } = issue;
  if (issue.code !== "invalid_union" || issue.discriminator === undefined) return input;
  const fields = new Map(Object.entries(input ?? {}));
  return fields.get(issue.discriminator);
}

/** Null if the schema has its own message. */
function demandOf(issue: Issue): string | null {
  switch (issue.code) {
    case "unrecognized_keys":
      return `there is no such field; ${insteadOfUnknown(issue)}`;
    case "invalid_type":
    case "invalid_value":
    case "invalid_union":
      return `must be ${either(namesOf(issue))}`;
    case "too_small":
      return sizeDemand(issue.origin, "at least", "above", issue.minimum, issue.inclusive);
    case "too_big":
      return sizeDemand(issue.origin, "at most", "below", issue.maximum, issue.inclusive);
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "invalid_key":
    case "invalid_element":
      return issue.issues[0]?.message ?? "must have another name";
    case "invalid_format":
      return "must have another form";
    case "custom":
      return null;
  }
}

/** Suggests a known field for an unknown one. Fields that were sent as well are not what was meant. */
function insteadOfUnknown(issue: Extract<Issue, { code: "unrecognized_keys" }>): string {
  const known = "inst" in issue && issue.inst instanceof z.ZodObject ? Object.keys(issue.inst.shape) : [];
  const sent = Object.keys(issue.input ?? {});
  const open = known.filter((name) => !sent.includes(name));
  const [written = ""] = issue.keys;
  const meant = nearestName(written, open);
  return meant === null ? "leave it out" : `did you mean ${meant}?`;
}

const TYPES: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "an object",
  record: "an object",
  null: "null",
};

/** Names of the accepted types or values. */
function namesOf(issue: Issue): string[] {
  if (issue.code === "invalid_type") return [TYPES[issue.expected] ?? issue.expected];
  if (issue.code === "invalid_value") return issue.values.map(nameOf);
  if (issue.code !== "invalid_union") return [];
  if ("options" in issue && Array.isArray(issue.options)) return issue.options.map(nameOf);
  return issue.errors.flatMap(([first]) => (first === undefined ? [] : namesOf(first)));
}

function nameOf(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

function either(names: readonly string[]): string {
  const [last = "something else", ...before] = [...new Set(names)].toReversed();
  return before.length === 0 ? last : `${before.toReversed().join(", ")} or ${last}`;
}

/** The units in which sizes are counted. */
const PARTS: Readonly<Record<string, { readonly one: string; readonly many: string }>> = {
  string: { one: "character", many: "characters" },
  array: { one: "entry", many: "entries" },
  object: { one: "field", many: "fields" },
};

function sizeDemand(
  origin: string,
  inclusively: string,
  exclusively: string,
  limit: number | bigint,
  isInclusive = true,
): string {
  const bound = isInclusive ? inclusively : exclusively;
  const parts = PARTS[origin];
  if (parts === undefined) return `must be ${bound} ${limit}`;
  if (limit === 1 && bound === "at least") return "must not be empty";
  return `must have ${bound} ${limit} ${limit === 1 ? parts.one : parts.many}`;
}

/** The type that was sent, if that is what is wrong. */
function insteadOf(issue: Issue, input: unknown): string {
  const { code } = issue;
  const isText = typeof input === "string";
  const isOneOfSeveral =
    code === "invalid_value" && issue.values.some((value) => typeof value === typeof input);
  const isAboutWhatItIs = isAboutKind(code) && !(code === "invalid_union" && isText);
  if (!isAboutWhatItIs || isOneOfSeveral) return "";
  if (input === null) return ", not null";
  if (isText) return ", not text";
  if (Array.isArray(input)) return ", not a list";
  if (typeof input === "object") return ", not an object";
  if (typeof input === "boolean") return `, not ${input}`;
  const wantsNumber = code === "invalid_type" && (issue.expected === "number" || issue.expected === "int");
  return wantsNumber ? "" : ", not a number";
}

/** The first error in a value. */
export interface Problem {
  /** The field's path, such as `messages[0].role`; empty for the value as a whole. */
  readonly param: string;
  readonly message: string;
}

export function firstProblem(error: z.core.$ZodError): Problem {
  const { path, message } = firstIssue(error.issues);
  return { param: placeOf(path), message };
}

interface Found {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/**
 * Unknown fields come first, because a field that seems to be missing may be that one misspelled. In a union, the branch with
 * the deepest error is the most likely one.
 */
function firstIssue(issues: readonly z.core.$ZodIssue[]): Found {
  const issue = issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0];
  if (issue === undefined) return { path: [], message: "is not valid" };
  let deepest: Found = { path: pathOf(issue), message: issue.message };
  if (issue.code !== "invalid_union") return deepest;
  // Otherwise a branch that accepts the type, but not the size.
  const ofKind = issue.errors
    .flatMap(([first]) => first ?? [])
    .find(({ path, code }) => path.length === 0 && !isAboutKind(code));
  const hasOwnWords = !issue.message.includes(demandOf(issue) ?? issue.message);
  if (ofKind !== undefined && !hasOwnWords) deepest = { path: issue.path, message: ofKind.message };
  for (const branch of issue.errors) {
    const inner = firstIssue(branch);
    if (inner.path.length > 0 && issue.path.length + inner.path.length > deepest.path.length) {
      deepest = { path: [...issue.path, ...inner.path], message: inner.message };
    }
  }
  return deepest;
}

function isAboutKind(code: z.core.$ZodIssue["code"]): boolean {
  return code === "invalid_type" || code === "invalid_value" || code === "invalid_union";
}

/** For an unknown field, the path of the field itself and not of the object that contains it. */
function pathOf(issue: z.core.$ZodIssue): readonly PropertyKey[] {
  return issue.code === "unrecognized_keys" ? [...issue.path, ...issue.keys.slice(0, 1)] : issue.path;
}

function placeOf(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) =>
      typeof part === "number" ? `[${part}]` : `${index === 0 ? "" : "."}${String(part)}`,
    )
    .join("");
}

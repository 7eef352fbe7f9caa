import { z } from "zod";

import { invalidRequest, parse, unsupported } from "../request-errors.ts";
import { parseJsonSchema } from "../schema/json-schema.ts";
import type { JsonSchema } from "../schema/schema-node.ts";
import { SharedLimits } from "../schema/shared-limits.ts";

/** What form the answer must have: tools that may or must be called, or JSON of a schema. */

export interface ChatTool {
  readonly name: string;
  readonly description: string;
  readonly parameters: JsonSchema;
  /** The schema as the client wrote it, for showing to the model. */
  readonly rawParameters: unknown;
}

export type AnswerForm =
  | { readonly type: "text" }
  | { readonly type: "json"; readonly schema: JsonSchema }
  /** The model decides whether it calls one of them. */
  | { readonly type: "tools"; readonly tools: readonly ChatTool[]; readonly parallel: boolean }
  /** The answer is one call of one of these. */
  | { readonly type: "forced_tool"; readonly tools: readonly ChatTool[] }
  /** The model decides whether it calls one of these or answers with JSON. */
  | { readonly type: "json_or_tool"; readonly schema: JsonSchema; readonly tools: readonly ChatTool[] };

const functionName = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "must be 1 to 64 letters, digits, _ or -");
const toolSchema = z.object({
  type: z.string(),
  function: z
    .object({
      name: functionName,
      description: z.string().nullish(),
      parameters: z.unknown().optional(),
      strict: z.boolean().nullish(),
    })
    .optional(),
});
const namedToolSchema = z.object({ function: z.object({ name: z.string() }) });
const toolChoiceSchema = z.union(
  [
    z.enum(["auto", "none", "required"]),
    z.discriminatedUnion("type", [
      z.object({ type: z.literal("function"), ...namedToolSchema.shape }),
      z.object({
        type: z.literal("allowed_tools"),
        allowed_tools: z.object({ mode: z.enum(["auto", "required"]), tools: z.array(namedToolSchema) }),
      }),
    ]),
  ],
  'must be "auto", "none", "required", or an object of type "function" or "allowed_tools"',
);
const formSchema = z.object({
  tools: z.array(toolSchema).max(128).nullish(),
  tool_choice: toolChoiceSchema.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  /** What came before `tools`. To ignore it would give a caller text where it waits for a call. */
  functions: z.array(z.unknown()).nullish(),
  response_format: z
    .discriminatedUnion("type", [
      z.object({ type: z.literal("text") }),
      /** The schema is llama-server's own, and there is no `strict` beside it. */
      z.object({ type: z.literal("json_object"), schema: z.unknown().optional() }),
      z.object({
        type: z.literal("json_schema"),
        json_schema: z.object({ schema: z.unknown().optional(), strict: z.boolean().nullish() }),
      }),
    ])
    .nullish(),
});
type Form = z.infer<typeof formSchema>;

/** What `json_object` promises. */
const ANY_OBJECT: JsonSchema = parseJsonSchema({ type: "object" }, { strict: true, where: "" });
/** What a function without `parameters` takes. */
const EMPTY_OBJECT: JsonSchema = parseJsonSchema(
  { type: "object", properties: {} },
  { strict: true, where: "" },
);

/** @throws EngineError `invalid_request` or `unsupported`, naming the field or the keyword of a schema. */
export function parseAnswerForm(body: Readonly<Record<string, unknown>>): AnswerForm {
  const form = parse(formSchema, body);
  if ((form.functions ?? []).length > 0)
    throw unsupported("functions: are not supported any more; send tools");
  const shared = new SharedLimits();
  const json = jsonForm(form, shared);
  const { tools, mode } = callableTools(form, shared);
  if (mode === "required") {
    if (tools.length === 0) throw invalidRequest("tool_choice: is required, but there are no tools");
    return { type: "forced_tool", tools };
  }
  if (tools.length === 0) return json ?? { type: "text" };
  if (json !== null) return { type: "json_or_tool", schema: json.schema, tools };
  return { type: "tools", tools, parallel: form.parallel_tool_calls ?? true };
}

/** The tools that may be called, and whether one of them has to be. */
function callableTools(
  form: Form,
  shared: SharedLimits,
): { readonly tools: readonly ChatTool[]; readonly mode: "auto" | "required" } {
  const choice = form.tool_choice ?? "auto";
  if (choice === "none") return { tools: [], mode: "auto" };
  const tools = parseTools(form, shared);
  if (typeof choice === "string") return { tools, mode: choice };
  if (choice.type === "function") return { tools: named([choice], tools), mode: "required" };
  const { mode, tools: allowed } = choice.allowed_tools;
  return { tools: named(allowed, tools), mode };
}

/** @throws EngineError `invalid_request` if one of the names is no tool's. */
function named(
  choices: readonly z.infer<typeof namedToolSchema>[],
  tools: readonly ChatTool[],
): readonly ChatTool[] {
  const names = new Set(choices.map((choice) => choice.function.name));
  for (const name of names) {
    if (!tools.some((tool) => tool.name === name))
      throw invalidRequest(`tool_choice: there is no tool "${name}"`);
  }
  return tools.filter((tool) => names.has(tool.name));
}

function parseTools(form: Form, shared: SharedLimits): ChatTool[] {
  const names = new Set<string>();
  return (form.tools ?? []).map((tool, index) => {
    const where = `tools[${index}]`;
    if (tool.type !== "function")
      throw unsupported(`${where}: tools of type "${tool.type}" are not supported`);
    if (tool.function === undefined) throw invalidRequest(`${where}: has no function`);
    const { name, description, parameters, strict } = tool.function;
    if (names.has(name)) throw invalidRequest(`${where}: there are two functions called "${name}"`);
    names.add(name);
    return {
      name,
      description: description ?? "",
      rawParameters: parameters ?? {},
      parameters:
        parameters === undefined || parameters === null
          ? EMPTY_OBJECT
          : parseJsonSchema(parameters, {
              strict: strict ?? false,
              where: `${where}.function.parameters`,
              shared,
            }),
    };
  });
}

function jsonForm(form: Form, shared: SharedLimits): Extract<AnswerForm, { type: "json" }> | null {
  const format = form.response_format ?? null;
  if (format === null) return null;
  switch (format.type) {
    case "text":
      return null;
    case "json_object": {
      if (format.schema == null) return { type: "json", schema: ANY_OBJECT };
      const where = "response_format.schema";
      return { type: "json", schema: parseJsonSchema(format.schema, { strict: false, where, shared }) };
    }
    case "json_schema": {
      const { schema, strict } = format.json_schema;
      const where = "response_format.json_schema.schema";
      return { type: "json", schema: parseJsonSchema(schema, { strict: strict ?? false, where, shared }) };
    }
  }
}

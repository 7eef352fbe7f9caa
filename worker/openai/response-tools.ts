import { z } from "zod";

import { toChatName } from "./chat-names.ts";
import { MAX_TOOLS } from "./chat-request.ts";
import { customToolParameters } from "./custom-tool.ts";
import { invalid, unsupported } from "./field-refusals.ts";
import { LarkError, larkPattern } from "./lark-grammar.ts";

/**
 * The tools of the Responses API as functions of a chat. A namespace holds tools of its own, whose calls name both: a
 * machine sees them under one name. Hosted tools cannot be done here; those that coding agents offer whatever the server
 * can do are left out where there are others, since a model need not use what it is offered.
 */

const plainToolSchema = z.looseObject({
  type: z.string(),
  name: z.string().optional(),
  description: z.string().nullish(),
  parameters: z.unknown().optional(),
  strict: z.boolean().nullish(),
  format: z
    .looseObject({ type: z.string(), syntax: z.string().optional(), definition: z.string().optional() })
    .nullish(),
});

export const toolSchema = plainToolSchema.extend({ tools: z.array(plainToolSchema).optional() });

/** A tool as a choice names it. */
const toolNameSchema = z.looseObject({
  type: z.string(),
  name: z.string().optional(),
  namespace: z.string().nullish(),
});

export const toolChoiceSchema = z.union([
  z.enum(["auto", "none", "required"]),
  toolNameSchema.extend({
    mode: z.enum(["auto", "required"]).optional(),
    tools: z.array(toolNameSchema).max(MAX_TOOLS).optional(),
  }),
]);

type PlainTool = z.infer<typeof plainToolSchema>;
type RequestedTool = z.infer<typeof toolSchema>;
type ToolName = z.infer<typeof toolNameSchema>;

interface ToolFields {
  readonly tools?: readonly RequestedTool[] | null | undefined;
  readonly tool_choice?: z.infer<typeof toolChoiceSchema> | null | undefined;
  readonly parallel_tool_calls?: boolean | null | undefined;
}

/** A tool that a call can name. */
export interface CallableTool {
  readonly isCustom: boolean;
  readonly namespace: string | null;
  readonly name: string;
  /** What a machine calls it. */
  readonly chatName: string;
  readonly takes: PlainTool;
  /** Of the whole text of a custom tool; null = it may be any. */
  readonly pattern: string | null;
  /** Where it stands in the request. */
  readonly at: string;
}

/** Of a request's tools those that take effect. */
export function offeredTools({ tools }: ToolFields): readonly RequestedTool[] {
  const offered = (tools ?? []).filter(({ type }) => !/^(web_search|image_generation)/.test(type));
  // With nothing else to call, the tool is what the request is about.
  return offered.length === 0 ? (tools ?? []) : offered;
}

/** @throws HttpError 400 for a tool that cannot be called here, or too many */
export function callableTools(request: ToolFields): CallableTool[] {
  const offered = new Set(offeredTools(request));
  // Before their grammars are read.
  const all = [...offered].flatMap((tool) => (tool.type === "namespace" ? (tool.tools ?? []) : tool));
  if (all.length > MAX_TOOLS) {
    throw invalid("tools", `must have at most ${MAX_TOOLS} entries, those of namespaces included`);
  }
  return (request.tools ?? []).flatMap((tool, index) => {
    const param = `tools[${index}]`;
    if (!offered.has(tool)) return [];
    if (tool.type !== "namespace") return [callable(tool, null, param)];
    const namespace = tool.name;
    if (namespace === undefined) throw invalid(`${param}.name`, "a namespace needs a name");
    return (tool.tools ?? []).map((inner, at) => {
      const { description: what } = inner;
      // What is said about all of them stands before the first.
      const about = at === 0 ? [tool.description, what].filter(Boolean).join("\n\n") : what;
      return callable({ ...inner, description: about }, namespace, `${param}.tools[${at}]`);
    });
  });
}

function callable(takes: PlainTool, namespace: string | null, param: string): CallableTool {
  const { type, name, format } = takes;
  if (type !== "function" && type !== "custom")
    throw unsupported(`${param}.type`, `${type} is not supported`);
  if (name === undefined) throw invalid(`${param}.name`, "a tool needs a name");
  const pattern = type === "custom" && format != null ? patternOf(format, `${param}.format`) : null;
  return {
    isCustom: type === "custom",
    namespace,
    name,
    chatName: chatNameOf(namespace, name),
    takes,
    pattern,
    at: param,
  };
}

/** Of the text of a custom tool. @throws HttpError 400 for a grammar that no pattern says */
function patternOf(format: NonNullable<PlainTool["format"]>, param: string): string | null {
  const { type, syntax, definition } = format;
  if (type === "text") return null;
  if (type !== "grammar") throw unsupported(`${param}.type`, `${type} is not supported`);
  if (definition === undefined) throw invalid(`${param}.definition`, "is missing");
  if (syntax === "regex") return definition;
  if (syntax !== "lark") throw unsupported(`${param}.syntax`, "is neither regex nor lark");
  try {
    return larkPattern(definition);
  } catch (error) {
    if (!(error instanceof LarkError)) throw error;
    throw unsupported(`${param}.definition`, `the grammar cannot be held: ${error.message}`);
  }
}

/** What a machine calls a tool. */
export function chatNameOf(namespace: string | null | undefined, name: string): string {
  if (namespace == null) return name;
  return toChatName(`${namespace}${namespace.endsWith("__") ? "" : "__"}${name}`);
}

/** The tools that a machine is shown, in their order. @throws HttpError 400 */
export function shownTools(request: ToolFields): readonly CallableTool[] {
  const tools = callableTools(request);
  return toToolChoice(request.tool_choice, tools).allowed ?? tools;
}

/** The fields of a chat that are about tools. @throws HttpError 400 */
export function toChatTools(request: ToolFields): object {
  const { tool_choice: choice, parallel_tool_calls: parallel } = request;
  const tools = callableTools(request);
  if (tools.length === 0) {
    if (choice != null && choice !== "auto" && choice !== "none")
      throw invalid("tool_choice", "there are no tools");
    return {};
  }
  const { tool_choice, allowed = tools } = toToolChoice(choice, tools);
  return { tools: allowed.map(toFunction), tool_choice, parallel_tool_calls: parallel ?? undefined };
}

function toFunction({ isCustom, chatName, takes, pattern }: CallableTool): object {
  const { description, parameters, strict } = isCustom
    ? {
        description: [takes.description, grammarNote(takes)].filter(Boolean).join("\n\n"),
        parameters: customToolParameters(pattern),
        strict: true,
      }
    : takes;
  return {
    type: "function",
    function: {
      name: chatName,
      description: description || undefined,
      parameters: parameters ?? undefined,
      strict: strict ?? undefined,
    },
  };
}

/** For the model, which is shown no format. */
function grammarNote({ format }: PlainTool): string | null {
  if (format?.type !== "grammar") return null;
  return `The input follows this grammar (${format.syntax}):\n${format.definition}`;
}

/** @returns `tool_choice`, and which tools are allowed if only some are: chat models see no others then. */
function toToolChoice(
  choice: ToolFields["tool_choice"],
  tools: readonly CallableTool[],
): { tool_choice: unknown; allowed?: readonly CallableTool[] } {
  if (typeof choice !== "object" || choice === null) return { tool_choice: choice ?? undefined };
  switch (choice.type) {
    case "function":
    case "custom": {
      const name = tools.find((tool) => isNamed(tool, choice))?.chatName ?? choice.name;
      return { tool_choice: { type: "function", function: { name } } };
    }
    case "allowed_tools":
      return {
        tool_choice: choice.mode ?? "auto",
        allowed: tools.filter((tool) => choice.tools?.some((named) => isNamed(tool, named))),
      };
    default:
      throw unsupported("tool_choice", `a choice of type ${choice.type} is not supported`);
  }
}

function isNamed(tool: CallableTool, { type, name, namespace }: ToolName): boolean {
  if (type === "namespace") return tool.namespace === name;
  return tool.name === name && (namespace == null || tool.namespace === namespace);
}

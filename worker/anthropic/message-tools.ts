import { z } from "zod";

import { toChatName } from "../openai/chat-names.ts";
import { MAX_TOOLS } from "../openai/chat-request.ts";
import { invalid, unsupported } from "../openai/field-refusals.ts";

/**
 * The tools of the Messages API as functions of a chat. Tools that Anthropic's own servers carry out, or whose
 * parameters only its models know, cannot be done here; the former are left out where there are others, since a model
 * need not use what it is offered. Deferred tools are not shown before the conversation refers to them.
 */

const toolSchema = z.looseObject({
  type: z.string().nullish(),
  name: z
    .string()
    .regex(/^[A-Za-z0-9_-]+$/, "must have letters, digits, _ and - only")
    .optional(),
  description: z.string().nullish(),
  input_schema: z.looseObject({}).nullish(),
  strict: z.boolean().nullish(),
  defer_loading: z.boolean().nullish(),
});

export const toolsSchema = z.array(toolSchema);

export const toolChoiceSchema = z.looseObject({
  type: z.enum(["auto", "any", "tool", "none"]),
  name: z.string().optional(),
  disable_parallel_tool_use: z.boolean().nullish(),
});

type Tool = z.infer<typeof toolSchema>;

interface ToolFields {
  readonly tools?: readonly Tool[] | null | undefined;
  readonly tool_choice?: z.infer<typeof toolChoiceSchema> | null | undefined;
}

const HOSTED = /^(web_search|web_fetch|code_execution|tool_search_tool|advisor)/;
const HOSTED_SEARCH = /^tool_search_tool/;

interface OfferedTool {
  readonly tool: Tool;
  /** Where it stands in the request. */
  readonly at: string;
}

/**
 * Of a request's tools those that take effect.
 * @param found names of the tools to which the conversation refers.
 */
export function offeredTools({ tools }: ToolFields, found: ReadonlySet<string>): readonly OfferedTool[] {
  const all = (tools ?? []).map((tool, index) => ({ tool, at: `tools[${index}]` }));
  // What nobody else can find has to be shown.
  const showsAll = all.some(({ tool: { type } }) => HOSTED_SEARCH.test(type ?? ""));
  const offered = all.filter(({ tool: { type, name, defer_loading } }) => {
    if (HOSTED.test(type ?? "")) return false;
    return defer_loading !== true || showsAll || (name !== undefined && found.has(name));
  });
  // With nothing else to call, the tool is what the request is about.
  return offered.length === 0 ? all : offered;
}

/** The fields of a chat that are about tools. @throws HttpError 400 */
export function toChatTools({ tool_choice: choice }: ToolFields, offered: readonly OfferedTool[]): object {
  if (offered.length === 0) {
    if (choice?.type === "any" || choice?.type === "tool") throw invalid("tool_choice", "there are no tools");
    return {};
  }
  // Deferred ones do not count: agents send hundreds.
  if (offered.length > MAX_TOOLS) throw invalid("tools", `at most ${MAX_TOOLS} can be shown to the model`);
  return {
    tools: offered.map(toFunction),
    tool_choice: choice == null ? undefined : toChatChoice(choice, offered),
    parallel_tool_calls: choice?.disable_parallel_tool_use === true ? false : undefined,
  };
}

function toFunction({ tool, at }: OfferedTool): object {
  const { type, name, description, input_schema, strict } = tool;
  if (type != null && type !== "custom") throw unsupported(`${at}.type`, `${type} is not supported`);
  if (name === undefined) throw invalid(`${at}.name`, "a tool needs a name");
  return {
    type: "function",
    function: {
      name: toChatName(name),
      description: description ?? undefined,
      parameters: input_schema ?? undefined,
      strict: strict ?? undefined,
    },
  };
}

function toChatChoice(
  choice: NonNullable<ToolFields["tool_choice"]>,
  offered: readonly OfferedTool[],
): unknown {
  switch (choice.type) {
    case "auto":
    case "none":
      return choice.type;
    case "any":
      return "required";
    case "tool": {
      const { name } = choice;
      if (name === undefined || !offered.some(({ tool }) => tool.name === name)) {
        throw invalid("tool_choice.name", "must be the name of one of the tools");
      }
      return { type: "function", function: { name: toChatName(name) } };
    }
  }
}

/** What the client calls the tools, by the names that machines know. */
export function namesByChatName({ tools }: ToolFields): ReadonlyMap<string, string> {
  const names = (tools ?? []).flatMap(({ name }) => name ?? []);
  return new Map(names.map((name) => [toChatName(name), name]));
}

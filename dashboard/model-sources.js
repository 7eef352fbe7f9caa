import { EXAMPLE_FILE } from "./commands.js";

/** Where a machine may have a model from, and what the provider's command line says for each. */

/**
 * @typedef {object} Source
 * @property {string} value
 * @property {string} label
 * @property {string} asks what has to be typed for it
 * @property {(model: string) => string} example what stands in the command until something is typed
 * @property {string} [prefix] of what is typed, in the command
 * @property {string} [server] what the command line says of the engine
 */

const LLAMA_SERVER = `'llama-server -m "$MODEL" --port $PORT -np $SLOTS -c $((SLOTS * CONTEXT))'`;

/** @param {string} model */
const fileOf = (model) => `~/models/${lastPart(model)}.gguf`;

/** @type {readonly Source[]} */
export const SOURCES = [
  {
    value: "hugging-face",
    label: "Hugging Face",
    asks: "Organisation, repository and file",
    example: (model) => (model === "gpt-oss-20b" ? EXAMPLE_FILE : "ORG/REPO/FILE.gguf"),
    prefix: "hf:",
  },
  {
    value: "address",
    label: "another address",
    asks: "Address of the file",
    example: (model) => `https://example.com/${lastPart(model)}.gguf`,
  },
  { value: "file", label: "a file on the Mac", asks: "Path of the file", example: fileOf },
  {
    value: "ollama",
    label: "Ollama on the Mac",
    asks: "What Ollama calls it",
    example: lastPart,
    server: "--server-url http://127.0.0.1:11434",
  },
  {
    value: "lm-studio",
    label: "LM Studio on the Mac",
    asks: "Its key, as lms ls shows it",
    example: lastPart,
    server: "--server-url http://127.0.0.1:1234",
  },
  {
    value: "server",
    label: "another server that runs",
    asks: "What the server calls it",
    example: lastPart,
    server: "--server-url http://127.0.0.1:8080",
  },
  {
    value: "command",
    label: "a server, to be started",
    asks: "Path or name of the model",
    example: fileOf,
    server: `--server-command ${LLAMA_SERVER}`,
  },
];

/** @param {string} value one of `SOURCES`; the first one stands for what is none */
export function sourceOf(value) {
  const [first] = SOURCES;
  const source = SOURCES.find((known) => known.value === value) ?? first;
  if (source === undefined) throw new Error("there is no source");
  return source;
}

/**
 * The options of the provider.
 * @param {Source} source
 * @param {string} model of the catalog
 * @param {string} typed
 * @param {string} context tokens of a request, typed; empty for the provider's default
 */
export function sourceOptions({ prefix = "", example, server }, model, typed, context) {
  const place = typed.trim().replace(new RegExp(`^${prefix}`), "") || example(model);
  const offered = `--model ${quoted(`${model}=${prefix}${place}`)}`;
  const room = context.trim() === "" ? [] : [`--context ${quoted(context.trim())}`];
  return [...(server === undefined ? [] : [server]), ...room, offered];
}

/**
 * One word for a shell. The provider knows the `~` of a path itself.
 * @param {string} word
 */
function quoted(word) {
  return /^[\w.~:@%+=,/-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** @param {string} model */
function lastPart(model) {
  return model.slice(model.lastIndexOf("/") + 1);
}

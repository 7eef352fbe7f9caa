import { closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";

import { modelIdSchema, type ModelId } from "../../protocol/ids.ts";
import { MAX_MODELS_PER_MACHINE } from "../../protocol/limits.ts";
import type { OfferedModel } from "./agent/ports.ts";
import { leastLength } from "./gguf-length.ts";
import { reasonOf } from "./reason.ts";
import { UserError } from "./user-error.ts";

/** The model files that this machine offers, as the command line names them. */

export interface ModelSources {
  /** `id=path` or `id=name` in the owner's order. */
  readonly models: readonly string[];
  readonly directories: readonly string[];
  readonly form: ModelForm;
}

/**
 * What an engine knows its models by: `files` that are GGUF; `ids` alone, if it needs none; or `names` of its own, and without
 * one the id is the name. Of `files or names` nobody but the engine knows which it is.
 */
export type ModelForm = "files" | "ids" | "names" | "files or names";

export interface FoundModels {
  readonly models: OfferedModel[];
  /** The one to hold first by the owner's choice; null if only directories were named, which choose none. */
  readonly first: ModelId | null;
  /** Files that were passed over, each with the reason. */
  readonly skipped: string[];
}

/** What `headerProblem` wants to see of a file. */
export const HEADER_BYTES = 24;
/** Far above what any file has: versions up to 3, some thousand tensors. */
const MAX_VERSION = 100;
const MAX_ENTRIES = 1_000_000n;

const PART = /-(\d{5})-of-(\d{5})$/;

/**
 * A file named by itself has to be right. What is wrong in a directory is passed over: one download that broke off must
 * not keep the others from being served.
 * @param coming the models that are still to be downloaded.
 * @throws UserError if a named file is missing or no GGUF, an id is malformed or used twice, or there is no model at all, nor
 *   one to come.
 */
export function findModels(
  { models, directories, form }: ModelSources,
  coming: readonly ModelId[] = [],
): FoundModels {
  const found = models.map((source) => readSource(source, form));
  const first = found[0]?.id ?? null;
  const skipped: string[] = [];
  for (const directory of directories) found.push(...fromDirectory(directory, skipped));
  checkIds([...found, ...coming.map((id) => ({ id, path: "" }))]);
  const count = found.length + coming.length;
  if (count === 0) throw new UserError(noModel(directories, skipped));
  if (count > MAX_MODELS_PER_MACHINE) {
    throw new UserError(`${count} models are too many: a machine offers at most ${MAX_MODELS_PER_MACHINE}.`);
  }
  return { models: found, first, skipped };
}

/** @throws UserError if two models have one id. */
function checkIds(models: readonly Pick<OfferedModel, "id" | "path">[]): void {
  const seen = new Map<ModelId, string>();
  for (const { id, path } of models) {
    const other = seen.get(id);
    if (other !== undefined) {
      const files = path === "" || other === "" ? "" : `: ${other} and ${path}`;
      throw new UserError(`Two files are to be model ${id}${files}. Give each model an id of its own.`);
    }
    seen.set(id, path);
  }
}

/** A directory that was named but offers nothing is the likely mistake, so it is named, and what was passed over. */
function noModel(directories: readonly string[], skipped: readonly string[]): string {
  const looked = directories.length === 0 ? "" : ` in ${directories.join(", ")}`;
  const reasons = skipped.length === 0 ? "" : ` (skipped ${skipped.join("; ")})`;
  return `No model to serve${looked}${reasons}. Name one with --model id=path/to/file.gguf, one to download with --model id=hf:ORG/REPO/file.gguf, or a --models-dir with *.gguf files.`;
}

/** One model as the command line names it. @throws UserError if it is not there, or is none. */
export function readSource(source: string, form: ModelForm): OfferedModel {
  const at = source.indexOf("=");
  const [id, what] = at < 0 ? [source, null] : [source.slice(0, at), source.slice(at + 1)];
  switch (form) {
    case "files":
      if (what === null)
        throw new UserError(`--model ${source} names no file. Write --model id=path/to/file.gguf.`);
      return fromFile(parseId(id), resolve(what));
    case "ids":
      return { id: parseId(id), path: what === null ? "" : resolve(what), sizeBytes: 0 };
    case "names":
      return { id: parseId(id), path: what ?? id, sizeBytes: 0 };
    case "files or names":
      return { id: parseId(id), path: what ?? id, sizeBytes: sizeIfFile(what ?? id) };
  }
}

/** In bytes, of all its parts; 0 if the name is none of a file. */
function sizeIfFile(name: string): number {
  let sizeBytes = 0;
  for (const part of partsOf(name)) {
    const stat = statSync(part, { throwIfNoEntry: false });
    if (stat?.isFile() === true) sizeBytes += stat.size;
  }
  return sizeBytes;
}

function fromDirectory(directory: string, skipped: string[]): OfferedModel[] {
  let names: string[];
  try {
    names = readdirSync(directory).sort();
  } catch (cause) {
    throw new UserError(`Cannot read the models directory ${directory}: ${reasonOf(cause)}.`, { cause });
  }
  const models: OfferedModel[] = [];
  const takeFile = (id: ModelId, path: string): void => {
    try {
      models.push(fromFile(id, path));
    } catch (cause) {
      if (!(cause instanceof UserError)) throw cause;
      skipped.push(withoutStop(cause.message));
    }
  };
  for (const name of names) {
    // macOS keeps what belongs to a file beside it on disks of other systems, as `._name`.
    if (name.startsWith(".") || !name.toLowerCase().endsWith(".gguf")) continue;
    const stem = name.slice(0, -".gguf".length);
    const part = PART.exec(stem);
    if (part !== null && Number(part[1]) !== 1) continue;
    const parsed = modelIdSchema.safeParse(stem.replace(PART, ""));
    if (/(?:^|[-._])mmproj(?:[-._]|$)/i.test(stem))
      skipped.push(`${name}: a projector for images, not a model`);
    else if (!parsed.success) skipped.push(`${name}: its name is no model id; use --model id=path`);
    else takeFile(parsed.data, resolve(directory, name));
  }
  return models;
}

/** For a list of reasons. */
function withoutStop(sentence: string): string {
  return sentence.replace(/\.$/, "");
}

function fromFile(id: ModelId, path: string): OfferedModel {
  let sizeBytes = 0;
  for (const part of partsOf(path)) sizeBytes += checkedSize(part);
  const quantization = quantizationOf(basename(path));
  return { id, path, sizeBytes, ...(quantization === null ? {} : { quantization }) };
}

/** A large model may be split; the engine opens the first part and finds the others beside it. */
export function partsOf(path: string): string[] {
  const stem = path.replace(/\.gguf$/i, "");
  const part = PART.exec(stem);
  const total = Number(part?.[2] ?? 1);
  if (part === null || total <= 1) return [path];
  const base = stem.slice(0, part.index);
  const extension = path.slice(stem.length);
  const width = (n: number): string => String(n).padStart(5, "0");
  return Array.from({ length: total }, (_, i) => `${base}-${width(i + 1)}-of-${width(total)}${extension}`);
}

/** The file's size in bytes, after a look at whether it is a whole GGUF: a saved error page and half a copy are common mistakes. */
function checkedSize(path: string): number {
  let file: number | null = null;
  try {
    file = openSync(path, "r");
    const stat = statSync(path);
    if (stat.isDirectory()) throw new UserError(`${path} is a directory. Use --models-dir for it.`);
    const header = Buffer.alloc(HEADER_BYTES);
    const problem = headerProblem(header.subarray(0, readSync(file, header, 0, HEADER_BYTES, 0)));
    if (problem !== null) throw new UserError(`${path} ${problem}`);
    const missing = lengthProblem(file, stat.size);
    if (missing !== null) throw new UserError(`${path} ${missing}`);
    return stat.size;
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    throw new UserError(`Cannot open the model file ${path}: ${reasonOf(cause)}.`, { cause });
  } finally {
    if (file !== null) closeSync(file);
  }
}

/**
 * What the file lacks, if it broke off; null if it is whole or cannot be judged.
 * @param file open for reading, with a header that has no problem.
 * @param size of the file, in bytes.
 */
export function lengthProblem(file: number, size: number): string | null {
  const needed = leastLength(file, size);
  if (needed <= size) return null;
  const [has, wants] = [size, needed].map((bytes) => bytes.toLocaleString("en-US"));
  return `is incomplete: it has ${has} bytes and needs at least ${wants}. Copy or download it again.`;
}

/**
 * What keeps a file with this beginning from being a model: magic, version, number of tensors, number of keys. An engine
 * that believes a damaged number reads on for minutes and fills the memory.
 */
export function headerProblem(header: Buffer): string | null {
  if (header.subarray(0, 4).toString("latin1") !== "GGUF") return "is not a GGUF file.";
  if (isBigEndian(header))
    return "is for big-endian machines, which no Mac is. Get its little-endian version.";
  const isWhole =
    header.length === HEADER_BYTES &&
    header.readUInt32LE(4) <= MAX_VERSION &&
    header.readBigUInt64LE(8) <= MAX_ENTRIES &&
    header.readBigUInt64LE(16) <= MAX_ENTRIES;
  return isWhole ? null : "is damaged: its first bytes make no sense. Download it again.";
}

/** Versions are small numbers, so of two ways to read one the smaller is right. */
function isBigEndian(header: Buffer): boolean {
  return header.length >= 8 && header.readUInt32BE(4) <= MAX_VERSION && header.readUInt32BE(4) > 0;
}

/** The quantization as file names spell it by custom, lower case; null if the name has none. */
export function quantizationOf(name: string): string | null {
  const match = /(?:^|[-._])((?:i?q\d(?:_[a-z0-9]+)*)|mxfp4|nvfp4|bf16|f16|f32)(?=[-._]|$)/i.exec(name);
  return match?.[1]?.toLowerCase() ?? null;
}

export function parseId(id: string): ModelId {
  const parsed = modelIdSchema.safeParse(id);
  if (parsed.success) return parsed.data;
  throw new UserError(`"${id}" is no model id: it ${parsed.error.issues[0]?.message ?? ""}.`);
}

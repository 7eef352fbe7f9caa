import { createHash } from "node:crypto";
import { join } from "node:path";

import type { ModelId } from "../../../protocol/ids.ts";
import { isLoopback } from "../loopback.ts";
import { parseId, partsOf } from "../models.ts";
import { UserError } from "../user-error.ts";

/** Models that the command line names by URL: where they come from and where they are stored. */

export interface RemoteModel {
  readonly id: ModelId;
  /** One, or all parts of a split model. */
  readonly files: readonly RemoteFile[];
}

export interface RemoteFile {
  readonly url: URL;
  /** Path of the complete file. */
  readonly path: string;
  /** The hash given by the owner, in lower case; null if none. */
  readonly sha256: string | null;
}

const HUB = "huggingface.co";
const HUB_SHORTHAND = /^hf:(?<repository>[\w.-]+\/[\w.-]+)(?:@(?<revision>[^/]+))?\/(?<file>.+)$/i;
const HASHES = /^#sha256=([0-9a-f]{64}(?:,[0-9a-f]{64})*)$/i;
/** File systems allow 255 bytes, and the names of partial files are longer. */
const MAX_NAME_BYTES = 200;
/** Characters of the URL's hash; enough to avoid collisions. */
const DIRECTORY_CHARACTERS = 12;

/** The URL in `id=URL`; null for a local file. */
function addressIn(source: string): string | null {
  const address = source.slice(source.indexOf("=") + 1);
  return source.includes("=") && /^(?:https?|hf):/i.test(address) ? address : null;
}

/**
 * Parses `id=URL`; null for a local file. Each URL gets its own directory, because many repositories have files of the same
 * name.
 * @throws UserError that shows the right form.
 */
export function readRemoteModel(source: string, directory: string): RemoteModel | null {
  const address = addressIn(source);
  if (address === null) return null;
  const id = parseId(source.slice(0, source.indexOf("=")));
  const url = readAddress(address);
  const names = partsOf(nameIn(url));
  const hashes = readHashes(url, names.length);
  url.hash = "";
  const urls = names.map((name) => new URL(`${encodeURIComponent(name)}${url.search}`, url));
  const place = join(directory, directoryOf(urls[0] ?? url));
  const files = names.map((name, index) => ({
    url: urls[index] ?? url,
    path: join(place, name),
    sha256: hashes[index] ?? null,
  }));
  return { id, files };
}

/** Whether the URL is on Hugging Face over https, the only place to which the owner's token is sent. */
export function isHub({ protocol, hostname }: URL): boolean {
  return protocol === "https:" && hostname === HUB;
}

/** Whether the transfer could be tampered with. */
export function isUnprotected({ protocol, hostname }: URL): boolean {
  return protocol === "http:" && !isLoopback(hostname);
}

/** The URL without its query, which may contain a secret, for messages. */
export function shown({ origin, pathname }: URL): string {
  return `${origin}${pathname}`;
}

function readAddress(text: string): URL {
  const url = new URL(/^hf:/i.test(text) ? expandShorthand(text) : checked(text));
  if (url.username !== "" || url.password !== "") {
    throw new UserError("An address of a model must not contain a user name or password.");
  }
  if (isHub(url)) {
    // The URL of the file's web page, copied from a browser.
    url.pathname = url.pathname.replace(/^(\/[^/]+\/[^/]+)\/blob\//, "$1/resolve/");
    url.search = "";
  }
  return url;
}

function expandShorthand(text: string): string {
  const { repository, revision = "main", file } = HUB_SHORTHAND.exec(text)?.groups ?? {};
  if (repository !== undefined && file !== undefined) {
    return `https://${HUB}/${repository}/resolve/${revision}/${file}`;
  }
  throw new UserError(
    `${text} names no file. Write it as hf:ORG/REPO/file.gguf, or hf:ORG/REPO@REVISION/file.gguf.`,
  );
}

function checked(text: string): string {
  if (URL.canParse(text)) return text;
  throw new UserError(`${text} is not a URL. Write it like https://example.com/file.gguf.`);
}

function nameIn(url: URL): string {
  const last = url.pathname.split("/").at(-1) ?? "";
  let name: string;
  try {
    name = decodeURIComponent(last);
  } catch (cause) {
    throw new UserError(`${shown(url)} has a % that stands for nothing. Write it as %25.`, { cause });
  }
  if (/^[^./\\\p{Cc}][^/\\\p{Cc}]*\.gguf$/iu.test(name) && Buffer.byteLength(name) <= MAX_NAME_BYTES)
    return name;
  throw new UserError(`${shown(url)} does not end with the name of a GGUF file, such as model-q4_k_m.gguf.`);
}

function readHashes(url: URL, parts: number): string[] {
  if (url.hash === "") return [];
  const hashes = HASHES.exec(url.hash)?.[1]?.toLowerCase().split(",") ?? [];
  if (hashes.length === parts) return hashes;
  const form =
    parts === 1
      ? "#sha256=HEX, with 64 digits"
      : `#sha256=HEX,HEX,... with one for each of its ${parts} parts`;
  throw new UserError(`What follows the # of ${shown(url)} has to be ${form}.`);
}

function directoryOf({ href }: URL): string {
  return createHash("sha256").update(href).digest("hex").slice(0, DIRECTORY_CHARACTERS);
}

/** The repository's page, where access can be requested; null if it is not on Hugging Face. */
export function hubPage(url: URL): string | null {
  if (!isHub(url)) return null;
  const repository = url.pathname.split("/").slice(1, 3).join("/");
  return `https://${HUB}/${repository}`;
}

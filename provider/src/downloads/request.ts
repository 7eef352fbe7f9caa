import { retryAfterMs } from "../connection.ts";
import { networkReason } from "../reason.ts";
import { UserError } from "../user-error.ts";
import type { DownloadPorts } from "./ports.ts";
import { isRetried, refusal, TransientError } from "./problems.ts";
import { isHub, isUnprotected, shown } from "./source.ts";

/** One HTTP request for a file, with redirects, refusals and a stall timeout. */

/** A response that delivers nothing for this long is aborted. */
export const STALL_MS = 45_000;
const MAX_REDIRECTS = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

export interface Answer {
  readonly status: 200 | 206 | 416;
  readonly origin: Origin;
  /** Offset of the first byte in the file. */
  readonly startsAt: number;
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** What a source says about a file; identifies it when a download is resumed. */
export interface Origin {
  /** Of the whole file; null if the source does not know it. */
  readonly sizeBytes: number | null;
  /** Hugging Face sends it for each large file. */
  readonly sha256: string | null;
  /** For `If-Range`: a strong ETag or the last-modified time. */
  readonly validator: string | null;
}

/**
 * Requests `url` and passes the response to `use`; what `use` does not read is dropped.
 * @throws TransientError if a retry may help, UserError if not, and the signal's reason.
 */
export async function request<T>(
  url: URL,
  headers: Readonly<Record<string, string>>,
  ports: DownloadPorts,
  use: (answer: Answer) => Promise<T>,
): Promise<T> {
  const wire = new Wire(ports);
  try {
    return await use(await followRedirects(url, headers, ports, wire));
  } finally {
    wire.end();
  }
}

async function followRedirects(
  url: URL,
  headers: Readonly<Record<string, string>>,
  ports: DownloadPorts,
  wire: Wire,
): Promise<Answer> {
  let at = url;
  let sha256: string | null = null;
  for (let hops = 0; hops <= MAX_REDIRECTS; hops += 1) {
    const response = await wire.ask(at, headers);
    // Only the redirect has the hash; the storage behind it sends an ETag that looks alike but is another value.
    sha256 ??= linkedHash(response.headers);
    if (!REDIRECTS.has(response.status)) return readAnswer(url, response, sha256, ports, wire);
    await response.body?.cancel();
    const next = response.headers.get("location");
    if (next === null || !URL.canParse(next, at.href))
      throw new UserError(`${shown(at)} redirects to nowhere.`);
    const previous = at;
    at = new URL(next, previous);
    if (!isUnprotected(previous) && isUnprotected(at)) {
      throw new UserError(
        `${shown(url)} redirects to ${shown(at)}, where anybody on the way could change the file.`,
      );
    }
  }
  throw new UserError(`${shown(url)} redirects again and again.`);
}

function readAnswer(
  url: URL,
  response: Response,
  sha256: string | null,
  { hubToken }: DownloadPorts,
  wire: Wire,
): Answer {
  const { status, headers } = response;
  if (isRetried(status)) {
    const wait = retryAfterMs(headers.get("retry-after") ?? undefined);
    throw new TransientError(`${url.host} answers with status ${status}`, wait);
  }
  if (status !== 200 && status !== 206 && status !== 416) throw refusal(url, status, hubToken !== null);
  const range = /^bytes (?<first>\d+)-\d+\/(?<size>\d+)$/.exec(headers.get("content-range") ?? "")?.groups;
  const length = status === 206 ? range?.["size"] : (headers.get("content-length") ?? undefined);
  return {
    status,
    origin: {
      sizeBytes: length === undefined ? null : Number(length),
      sha256,
      validator: strongTag(headers.get("etag")) ?? headers.get("last-modified"),
    },
    startsAt: status === 206 ? Number(range?.["first"] ?? NaN) : 0,
    chunks: wire.read(response),
  };
}

function linkedHash(headers: Headers): string | null {
  return /^"?([0-9a-f]{64})"?$/i.exec(headers.get("x-linked-etag") ?? "")?.[1]?.toLowerCase() ?? null;
}

/** A weak ETag does not guarantee identical bytes. */
function strongTag(tag: string | null): string | null {
  return tag?.startsWith('"') === true ? tag : null;
}

/** The abort signal and stall timeout that a request shares with its redirects. */
class Wire {
  readonly #ports: DownloadPorts;
  readonly #controller = new AbortController();
  readonly #onSignal = (): void => this.#controller.abort();
  #isStalled = false;

  constructor(ports: DownloadPorts) {
    this.#ports = ports;
    ports.signal.addEventListener("abort", this.#onSignal);
    if (ports.signal.aborted) this.#controller.abort();
  }

  ask(url: URL, headers: Readonly<Record<string, string>>): Promise<Response> {
    const { hubToken } = this.#ports;
    const token = hubToken !== null && isHub(url) ? { authorization: `Bearer ${hubToken}` } : {};
    return this.#await(() =>
      this.#ports.fetch(url, {
        headers: { ...headers, ...token },
        redirect: "manual",
        signal: this.#controller.signal,
      }),
    );
  }

  async *read({ body }: Response): AsyncGenerator<Uint8Array> {
    if (body === null) return;
    const chunks: AsyncIterator<Uint8Array> = body[Symbol.asyncIterator]();
    for (;;) {
      const next = await this.#await(() => chunks.next());
      if (next.done === true) return;
      yield next.value;
    }
  }

  end(): void {
    this.#ports.signal.removeEventListener("abort", this.#onSignal);
    this.#controller.abort();
  }

  async #await<T>(next: () => Promise<T>): Promise<T> {
    const { clock, signal } = this.#ports;
    const disarm = clock.after(STALL_MS, () => {
      this.#isStalled = true;
      this.#controller.abort();
    });
    try {
      return await next();
    } catch (cause) {
      signal.throwIfAborted();
      throw new TransientError(
        this.#isStalled ? `nothing came for ${STALL_MS / 1000} s` : networkReason(cause),
      );
    } finally {
      disarm();
    }
  }
}

import { createServer, type Server, type ServerResponse } from "node:http";

/** A server with OpenAI's API for tests, which says what it is told to, and remembers what it was asked. */

export interface Asked {
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly authorization: string | undefined;
}

/** What it answers; null for a path that it does not have. */
export type Answers = (asked: Asked) => Reply | null | Promise<Reply>;

export interface Reply {
  readonly status?: number;
  readonly body: object | string;
}

export class ModelServer {
  readonly asked: Asked[] = [];
  readonly baseUrl: string;
  /** What it answers instead to everything but the list of models; null if it is well. */
  trouble: Reply | null = null;
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.baseUrl = `http://127.0.0.1:${port}/v1`;
  }

  /** @param answers asked for what is not said by `chats`. */
  static async start(answers: Answers, port = 0): Promise<ModelServer> {
    const heard: { server: ModelServer | null } = { server: null };
    const server = createServer((request, response) => {
      let text = "";
      request.setEncoding("utf8");
      request.on("data", (part: string) => (text += part));
      request.on("end", () => {
        const body = text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
        const asked = { path: request.url ?? "", body, authorization: request.headers.authorization };
        heard.server?.asked.push(asked);
        const trouble = asked.path === "/v1/models" ? null : (heard.server?.trouble ?? null);
        void reply(response, trouble ?? answers(asked));
      });
    });
    await new Promise<void>((resolve, reject) =>
      server.once("error", reject).listen(port, "127.0.0.1", resolve),
    );
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    heard.server = new ModelServer(server, address.port);
    return heard.server;
  }

  get port(): number {
    return Number(new URL(this.baseUrl).port);
  }

  /** What it was asked at this path, oldest first. */
  bodiesAt(path: string): readonly Asked["body"][] {
    return this.asked.filter((one) => one.path === path).map(({ body }) => body);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function reply(response: ServerResponse, answer: ReturnType<Answers>): Promise<void> {
  const { status = 200, body } = (await answer) ?? { status: 404, body: { error: "no such path" } };
  response.writeHead(status);
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

/** A streamed chat that says this. */
export function said(text: string): Reply {
  const chunks = [
    { choices: [{ delta: { role: "assistant", content: text }, finish_reason: null }] },
    { choices: [{ delta: {}, finish_reason: "stop" }] },
    { choices: [], usage: { prompt_tokens: 3, completion_tokens: 1 } },
  ];
  return { body: `${chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("")}data: [DONE]\n\n` };
}

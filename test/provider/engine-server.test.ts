import { fileURLToPath } from "node:url";

import { describe } from "vitest";

import { createCommandHost } from "../../provider/src/engines/server/command-host.ts";
import { createServerEngine } from "../../provider/src/engines/server/server-engine.ts";
import { describeEngineContract } from "./engine-contract.ts";

const SERVER = fileURLToPath(new URL("fixtures/openai-server.ts", import.meta.url));
const command = `exec "${process.execPath}" "${SERVER}"`;
const text = (count: number): string => Array.from({ length: count }, (_, index) => `word${index}`).join(" ");

describe("with a command", () => {
  describeEngineContract(
    "the engine of servers",
    () => createServerEngine(createCommandHost({ command, log: () => undefined }), () => undefined),
    {
      model: { id: "echo", path: "echo", sizeBytes: 0 },
      contextTokens: 1024,
      longRequest: () => ({ messages: [{ role: "user", content: text(120) }] }),
      textOfTokens: text,
    },
  );
});

import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { chatCommand, connectCommand, modelToTry } from "../../../dashboard/commands.js";
import { aPool, aSnapshot } from "./snapshot-scene.ts";

/** Commands that the page shows beside a secret, as a shell takes them. */

const TOKEN = `pt_${"1".repeat(18)}_${"a".repeat(64)}`;

describe("in a shell", () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "poolkeeper-commands-"));
    for (const program of ["npx", "curl"]) {
      writeFileSync(join(home, program), '#!/bin/sh\nfor argument; do echo "<$argument>"; done\n');
      chmodSync(join(home, program), 0o700);
    }
  });
  afterEach(() => {
    rmSync(home, { recursive: true });
  });

  const run = (command: string, input = "") =>
    execFileSync("bash", ["-c", command], {
      input,
      encoding: "utf8",
      env: { HOME: home, PATH: `${home}:/usr/bin:/bin` },
    });

  it("the token is asked for, kept where only its owner can read it, and given to the provider as a file", () => {
    const said = run(connectCommand("https://pool.example.com", "org/tiny"), `${TOKEN}\n`);
    const file = join(home, ".poolkeeper/token");
    expect(readFileSync(file, "utf8")).toBe(`${TOKEN}\n`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(home, ".poolkeeper")).mode & 0o777).toBe(0o700);
    expect(said).not.toContain(TOKEN);
    const words = [...said.matchAll(/<(.*)>/g)].map(([, word]) => word);
    expect(words.slice(0, 2)).toEqual(["node", "provider/src/main.ts"]);
    expect(words.slice(2)).toEqual([
      "--coordinator",
      "https://pool.example.com",
      "--token-file",
      file,
      "--model",
      "org/tiny=~/models/tiny.gguf",
    ]);
  });

  it("a chat is one call with the key", () => {
    const said = run(chatCommand("https://pool.example.com", "pk_x", "org/tiny"));
    const words = [...said.matchAll(/<(.*)>/g)].map(([, word]) => word);
    expect(words).toEqual([
      "-N",
      "https://pool.example.com/v1/chat/completions",
      "-H",
      "Authorization: Bearer pk_x",
      "-d",
      '{"model":"org/tiny","stream":true,"messages":[{"role":"user","content":"Hello"}]}',
    ]);
  });
});

describe("the model in them", () => {
  const of = (...pools: Parameters<typeof aPool>[0][]) =>
    modelToTry(aSnapshot({ fleet: { pools: pools.map(aPool) } }));

  it("is one that answers, else one of the catalog, else an example", () => {
    const idle = { serving: 0, unmanaged: 0 };
    expect(of({ model_id: "a", ...idle }, { model_id: "b", ...idle, unmanaged: 1 })).toBe("b");
    expect(of({ model_id: "a", ...idle })).toBe("a");
    expect(of()).toBe("gpt-oss-20b");
    expect(modelToTry(null)).toBe("gpt-oss-20b");
  });
});

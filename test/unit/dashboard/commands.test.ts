import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { chatCommand, connectCommand, modelToTry } from "../../../dashboard/commands.js";
import { sourceOf, sourceOptions, SOURCES } from "../../../dashboard/model-sources.js";
import { readRemoteModel } from "../../../provider/src/downloads/source.ts";
import { readCommandLine } from "../../../provider/src/options.ts";
import { aPool, aSnapshot } from "./snapshot-scene.ts";

/** Commands that the page shows beside a secret, as a shell takes them. */

const TOKEN = `pt_${"1".repeat(18)}_${"a".repeat(64)}`;

const connect = (source: string, model: string, typed = "", context = "") =>
  connectCommand("https://pool.example.com", sourceOptions(sourceOf(source), model, typed, context));

/** Of the output of a program that says what it was called with. */
const wordsOf = (said: string) => [...said.matchAll(/<(.*)>/g)].map(([, word]) => word ?? "");

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
    const said = run(connect("file", "org/tiny"), `${TOKEN}\n`);
    const file = join(home, ".poolkeeper/token");
    expect(readFileSync(file, "utf8")).toBe(`${TOKEN}\n`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(home, ".poolkeeper")).mode & 0o777).toBe(0o700);
    expect(said).not.toContain(TOKEN);
    const words = wordsOf(said);
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

  it.each(SOURCES.map(({ value }) => value))("the provider takes what is shown for %s", (source) => {
    for (const typed of ["", "it's/a name.gguf"]) {
      const [, , ...argv] = wordsOf(run(connect(source, "org/tiny", typed), `${TOKEN}\n`));
      expect(readCommandLine(argv, {})).toMatchObject({
        command: "serve",
        options: { coordinator: new URL("https://pool.example.com"), token: TOKEN },
      });
      expect(argv.at(-1)).toContain(typed === "" ? "org/tiny=" : typed);
    }
  });

  it("what is to be downloaded is an address for the provider", () => {
    const offered = (source: string, typed: string) =>
      wordsOf(run(connect(source, "tiny", typed), `${TOKEN}\n`)).at(-1) ?? "";
    const name = "ORG/REPO/FILE.gguf";
    expect(readRemoteModel(offered("hugging-face", ""), home)).not.toBeNull();
    expect(readRemoteModel(offered("address", ""), home)).not.toBeNull();
    expect(readRemoteModel(offered("file", ""), home)).toBeNull();
    // Whoever has copied it from the README has the prefix as well.
    for (const typed of [name, `hf:${name}`, ` ${name} `]) {
      expect(offered("hugging-face", typed)).toBe(`tiny=hf:${name}`);
    }
  });

  it("how long a request may be is said if somebody wants another length than the provider", () => {
    const [, , ...argv] = wordsOf(run(connect("file", "tiny", "", " 32768 "), `${TOKEN}\n`));
    expect(readCommandLine(argv, {})).toMatchObject({ options: { contextTokens: 32_768 } });
    expect(connect("file", "tiny")).not.toContain("--context");
  });

  it("a server's address, or the command that starts it, is said before the model", () => {
    const options = (source: string) => wordsOf(run(connect(source, "tiny"), `${TOKEN}\n`)).slice(6, 8);
    expect(options("ollama")).toEqual(["--server-url", "http://127.0.0.1:11434"]);
    expect(options("lm-studio")).toEqual(["--server-url", "http://127.0.0.1:1234"]);
    expect(options("command")).toEqual([
      "--server-command",
      'llama-server -m "$MODEL" --port $PORT -np $SLOTS -c $((SLOTS * CONTEXT))',
    ]);
  });

  it("a chat is one call with the key", () => {
    const said = run(chatCommand("https://pool.example.com", "pk_x", "org/tiny"));
    expect(wordsOf(said)).toEqual([
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

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { readCommandLine, type Environment, type Options } from "../../provider/src/options.ts";
import { HELP } from "../../provider/src/options/help.ts";

const directory = mkdtempSync(join(tmpdir(), "provider-options-"));
afterAll(() => rmSync(directory, { recursive: true }));

const enough = [
  "--coordinator",
  "https://pool.example.com",
  "--token",
  "t",
  "--model",
  "alpha=/models/a.gguf",
];

function read(argv: readonly string[], env: Environment = {}): Options {
  const commandLine = readCommandLine(argv, env);
  if (commandLine.command !== "serve") throw new Error(`not serve but ${commandLine.command}`);
  return commandLine.options;
}

it("has defaults for all that need not be said", () => {
  expect(read(enough)).toMatchObject({
    token: "t",
    slots: 4,
    contextTokens: null,
    threads: null,
    engine: { name: "llama" },
    stateDirectory: join(homedir(), ".poolkeeper"),
    downloadsDirectory: join(homedir(), ".poolkeeper/models"),
    hubToken: null,
    machineId: null,
    privateOnly: false,
    reservation: { onBattery: false, whileUsedMinutes: null },
    json: false,
    caffeinate: true,
  });
});

it("reads every flag", () => {
  const argv =
    "--coordinator http://127.0.0.1:8787 --token secret --machine-id studio-1 " +
    "--model alpha=~/a.gguf --model org/beta=/b=c.gguf --model c=hf:o/r/c.gguf --models-dir ~/models " +
    "--slots 8 --context 32768 --threads 2 --engine llama --state ~/state --downloads-dir ~/big --attestation-chain ~/chain.pem --private --not-on-battery --not-while-used 15 --json --no-caffeinate";
  expect(read(argv.split(" "))).toEqual({
    coordinator: new URL("http://127.0.0.1:8787"),
    token: "secret",
    sources: {
      models: [`alpha=${join(homedir(), "a.gguf")}`, "org/beta=/b=c.gguf", "c=hf:o/r/c.gguf"],
      directories: [join(homedir(), "models")],
      form: "files",
    },
    machineId: "studio-1",
    slots: 8,
    contextTokens: 32_768,
    threads: 2,
    engine: { name: "llama" },
    stateDirectory: join(homedir(), "state"),
    downloadsDirectory: join(homedir(), "big"),
    hubToken: null,
    privateOnly: true,
    reservation: { onBattery: true, whileUsedMinutes: 15 },
    attestationChain: join(homedir(), "chain.pem"),
    json: true,
    caffeinate: false,
    warnings: [expect.stringContaining("process list") as string],
  });
});

it("needs no more than the state directory to pause and to resume", () => {
  for (const command of ["pause", "resume"]) {
    expect(readCommandLine([command, "--state", "/s"], {})).toEqual({ command, stateDirectory: "/s" });
  }
  expect(() => readCommandLine(["paws"], {})).toThrow(/paws/);
  expect(() => read([...enough, "--not-while-used", "0"])).toThrow(/--not-while-used/);
});

it("takes coordinator and token from the environment, and flags before it", () => {
  const env = { POOLKEEPER_COORDINATOR: "https://env.example.com", POOLKEEPER_PROVIDER_TOKEN: "from-env" };
  expect(read(["--model", "a=b"], env)).toMatchObject({ token: "from-env", warnings: [] });
  expect(read(["--model", "a=b"], env).coordinator.host).toBe("env.example.com");
  expect(read(enough, env)).toMatchObject({ token: "t" });
});

describe("another engine", () => {
  const readWith = (argv: readonly string[], env: Environment = {}): Options =>
    read(["--coordinator", "https://pool.example.com", ...argv], { POOLKEEPER_PROVIDER_TOKEN: "t", ...env });

  it("is a command, for models by their names", () => {
    const command = 'llama-server -m "$MODEL" --port $PORT';
    const options = readWith(["--server-command", command, "--model", "a=~/a.gguf", "--model", "b=org/b"]);
    expect(options).toMatchObject({
      engine: { name: "command", command },
      sources: { models: [`a=${join(homedir(), "a.gguf")}`, "b=org/b"], form: "files or names" },
    });
    expect(options.warnings).toEqual([]);
    const script = readWith(["--server-command", "./serve.sh"]);
    expect(script.warnings).toEqual([expect.stringContaining("$PORT")]);
  });

  it.each([
    ["http://127.0.0.1:11434", "http://127.0.0.1:11434/v1"],
    ["http://localhost:1234/v1/", "http://localhost:1234/v1"],
    ["https://mac.local/api/openai", "https://mac.local/api/openai"],
  ])("is a server at %s, whose API is at %s", (url, baseUrl) => {
    expect(readWith(["--server-url", url])).toMatchObject({
      engine: { name: "attached", endpoint: { baseUrl, apiKey: null } },
      sources: { form: "names" },
      warnings: [],
    });
  });

  it("has threads of its own to count", () => {
    const options = readWith(["--server-command", "x $PORT", "--threads", "2"]);
    expect(options.warnings).toEqual([expect.stringContaining("--threads")]);
    expect(readWith(["--threads", "2"]).warnings).toEqual([]);
  });

  it("has its key from the environment, and is not spoken to openly over a network without a warning", () => {
    const options = readWith(["--server-url", "http://mac.local:8080"], { POOLKEEPER_SERVER_KEY: "k" });
    expect(options.engine).toMatchObject({ endpoint: { apiKey: "k" } });
    expect(options.warnings).toEqual([expect.stringContaining("unencrypted")]);
  });

  it("is not started with a key that no header can hold, and the key is not printed", () => {
    const url = ["--server-url", "http://127.0.0.1:1"];
    expect(readWith(url, { POOLKEEPER_SERVER_KEY: " k\n" }).engine).toMatchObject({
      endpoint: { apiKey: "k" },
    });
    expect(() => readWith(url, { POOLKEEPER_SERVER_KEY: "sk-1\nsk-2" })).toThrow(
      /^POOLKEEPER_SERVER_KEY has characters that no key has\.$/,
    );
  });
});

it("keeps downloads in the state directory if no other one is named", () => {
  expect(read([...enough, "--state", "/s"]).downloadsDirectory).toBe("/s/models");
});

it("takes the token of Hugging Face from the environment, and starts without one that makes no sense", () => {
  expect(read(enough, { HF_TOKEN: " hf_x\n" })).toMatchObject({ hubToken: "hf_x" });
  expect(read(enough, { HF_TOKEN: "" })).toMatchObject({ hubToken: null });
  const options = read(enough, { HF_TOKEN: "a b" });
  expect(options.hubToken).toBeNull();
  expect(options.warnings.join()).toContain("HF_TOKEN is not used");
});

describe("a token file", () => {
  const file = join(directory, "token");

  it("holds the token, with or without a line end", () => {
    writeFileSync(file, "from-file\n");
    chmodSync(file, 0o600);
    const options = read(["--coordinator", "https://x.example", "--token-file", file, "--model", "a=b"]);
    expect(options).toMatchObject({ token: "from-file", warnings: [] });
  });

  it("should not be readable for others", () => {
    chmodSync(file, 0o644);
    const options = read(["--coordinator", "https://x.example", "--token-file", file, "--model", "a=b"]);
    expect(options.warnings).toEqual([expect.stringContaining("chmod 600") as string]);
  });
});

it("warns of an address that sends the token in the clear", () => {
  const argv = ["--token", "t", "--model", "a=b", "--coordinator"];
  const clear = "travel unencrypted";
  expect(read([...argv, "http://pool.example.com"]).warnings.join()).toContain(clear);
  for (const url of [
    "http://localhost:1",
    "http://127.0.0.1:1",
    "http://[::1]:1",
    "https://pool.example.com",
  ]) {
    expect(read([...argv, url]).warnings.join()).not.toContain(clear);
  }
});

it("reads the address of a WebSocket as what it stands for", () => {
  const argv = ["--token", "t", "--model", "a=b", "--coordinator"];
  expect(read([...argv, "wss://pool.example.com/base"]).coordinator.href).toBe(
    "https://pool.example.com/base",
  );
});

it("takes the base URL of clients for the coordinator's address", () => {
  const argv = ["--token", "t", "--model", "a=b", "--coordinator"];
  expect(read([...argv, "https://pool.example.com/v1"]).coordinator.href).toBe("https://pool.example.com/");
  expect(read([...argv, "https://pool.example.com/base/v1/"]).coordinator.href).toBe(
    "https://pool.example.com/base",
  );
});

const API_KEY = `pk_${"0".repeat(18)}_${"f".repeat(64)}`;

describe("a mistake is answered with what to write instead", () => {
  it.each([
    [[], /--coordinator https/],
    [["--coordinator", "https://x.example"], /No provider token/],
    [["--coordinator", "https://x.example", "--token", API_KEY], /is an API key.*begins with pt_/],
    [["--coordinator", "pool.example.com", "--token", "t"], /is not a URL/],
    [["--coordinator", "ftp://x.example", "--token", "t"], /must begin with https/],
    [["--coordinator", "https://user:pass@x.example", "--token", "t"], /must not contain a user name/],
    [[...enough, "--token-file", "/x"], /not both/],
    [
      ["--coordinator", "https://x.example", "--token-file", "/no/such"],
      /^Cannot read the token file \/no\/such: ENOENT: no such file or directory\.$/,
    ],
    [["--coordinator", "https://x.example", "--token", "a b"], /characters that no token has/],
    [[...enough, "--slots", "0"], /--slots 0 must be a whole number from 1 to 64/],
    [[...enough, "--slots", "four"], /--slots four/],
    [[...enough, "--context", "100"], /--context 100/],
    [[...enough, "--threads", "1.5"], /--threads 1.5/],
    [[...enough, "--engine", "mlx"], /There are llama and echo.*--server-command/],
    [[...enough, "--engine", "echo", "--server-url", "http://127.0.0.1:1"], /only one of --engine/],
    [[...enough, "--server-command", "x $PORT", "--server-url", "http://127.0.0.1:1"], /only one of/],
    [[...enough, "--server-url", "127.0.0.1:11434"], /--server-url 127.0.0.1:11434 is no address/],
    [[...enough, "--server-url", "http://127.0.0.1:1", "--models-dir", "/m"], /--models-dir is of no use/],
    [[...enough, "--server-url", "http://me:secret@127.0.0.1:1"], /must not contain.*POOLKEEPER_SERVER_KEY/],
    [[...enough, "--machine-id", "Studio!"], /--machine-id Studio! is not valid/],
    [[...enough, "--colour"], /--colour.*See --help/],
    [[...enough, "surplus"], /^Unexpected argument 'surplus': the only commands are why, pause.*--help\.$/],
    [["--state", "/s", "pause"], /^Unexpected argument 'pause': .* before all flags\. See --help\.$/],
    [[...enough, "--state", "--json"], /^--state needs a value\. See --help\.$/],
    [[...enough, "--context"], /^--context needs a value\. See --help\.$/],
    [[...enough, "--private=yes"], /^Option '--private' does not take an argument\. See --help\.$/],
  ])("%j", (argv, expected) => {
    expect(() => read(argv)).toThrow(expected);
  });
});

it("knows --help and --version without anything else", () => {
  expect(readCommandLine(["--help"], {})).toEqual({ command: "help" });
  expect(readCommandLine(["-v"], {})).toEqual({ command: "version" });
});

it("mentions every flag in the help", () => {
  const flags =
    "coordinator token token-file model models-dir downloads-dir machine-id slots context threads engine server-command server-url state private";
  const rules = ["attestation-chain", "not-on-battery", "not-while-used"];
  for (const flag of [...flags.split(" "), ...rules, "json", "no-caffeinate", "help", "version"]) {
    expect(HELP).toContain(`--${flag}`);
  }
});

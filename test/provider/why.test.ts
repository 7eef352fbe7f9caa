import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { FakeCoordinator } from "../support/fake-coordinator.ts";
import { ProviderProcess } from "../support/provider-process.ts";

/** `poolkeeper-provider why` as its owner runs it, and a coordinator that says what the test wants. */

let server: Server;
let url: string;
type Answer = [status: number, body: object | string, headers?: Record<string, string>];
let versions: Answer;
let explanation: Answer;
let usage: Answer;
const asked: string[] = [];
const started: ProviderProcess[] = [];

const IDLE = {
  machine_id: "studio-1",
  state: "assigned",
  gate: null,
  why: "it waits for requests",
  fix: null,
};

beforeEach(async () => {
  versions = [200, { provider: { current: "0.9.0", minimum: null }, protocol: 1 }];
  explanation = [200, IDLE];
  usage = [404, { error: { message: "no route" } }];
  asked.length = 0;
  server = createServer(({ url: path, headers }, response) => {
    asked.push(`${path} ${headers.authorization}`);
    const isUsage = path?.includes("/v1/providers/usage") === true;
    const [status, body, sent = {}] =
      path?.endsWith("/version") === true ? versions : isUsage ? usage : explanation;
    response.writeHead(status, sent).end(typeof body === "string" ? body : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  for (const program of started.splice(0)) await program.dispose();
  server.closeAllConnections();
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

async function why(argv: readonly string[] = ["--machine-id", "studio-1"], state?: string, prefix = "") {
  const program = new ProviderProcess(
    ["why", "--coordinator", `${url}${prefix}/v1`, ...argv],
    { POOLKEEPER_PROVIDER_TOKEN: "the-token" },
    state,
  );
  started.push(program);
  const { code } = await program.exited;
  return { code, stdout: program.stdout, stderr: program.stderr };
}

describe("why", () => {
  it("says what the coordinator sees of this machine, and which model would be worth most", async () => {
    const models = [
      { model_id: "b", on_disk: false, holds: false, requests_per_hour: 38.4, obstacle: null },
      { model_id: "a", on_disk: true, holds: true, requests_per_hour: 2, obstacle: null },
      {
        model_id: "c",
        on_disk: true,
        holds: false,
        requests_per_hour: null,
        obstacle: "it needs 96 GB of memory",
      },
    ];
    const advice = "about 36 more requests an hour";
    explanation = [200, { ...IDLE, stays_because: "no_gain", useful_models: models, advice }];
    const { code, stdout } = await why();
    expect(code).toBe(0);
    expect(stdout.split("\n")).toEqual([
      `studio-1 at ${url}`,
      expect.stringMatching(/^ {2}provider {4}\d+\.\d+\.\d+; the coordinator's is 0\.9\.0$/),
      "  state       assigned",
      "  why         it waits for requests",
      "  last plan   leaves it where it is: no_gain",
      "  models      b (not here): 38.4 requests an hour more",
      "              a (held): 2 requests an hour more",
      "              c (on the disk): it needs 96 GB of memory",
      "  advice      about 36 more requests an hour",
      "",
    ]);
    expect(asked).toEqual([
      "/version Bearer the-token",
      "/v1/providers/explain?machine=studio-1 Bearer the-token",
      "/v1/providers/usage?machine=studio-1&days=7 Bearer the-token",
    ]);
  });

  it("asks a coordinator that is not at the root of its address", async () => {
    const { code } = await why(["--machine-id", "studio-1"], undefined, "/pool");
    expect(code).toBe(0);
    expect(asked.map((line) => line.split("?")[0])).toEqual([
      "/pool/version Bearer the-token",
      "/pool/v1/providers/explain",
      "/pool/v1/providers/usage",
    ]);
  });

  it("says what this machine has answered, where the coordinator counts it", async () => {
    const day = { model_id: "a", requests: 2, completion_tokens: 30 };
    const other = { model_id: "b", requests: 1, completion_tokens: 1 };
    usage = [200, { usage: [day, { ...day, requests: 1 }, other] }];
    const words = "a: 3 requests, 60 tokens; b: 1 request, 1 token";
    expect((await why()).stdout).toContain(`  last 7 days ${words}\n`);
    usage = [200, { usage: [] }];
    expect((await why()).stdout).toContain("  last 7 days no requests answered\n");
  });

  it("ends with 1 if something keeps requests away, and says what helps", async () => {
    explanation = [
      200,
      {
        ...IDLE,
        gate: "owner_private",
        why: "it serves its owner only",
        fix: "leave --private out",
        unmanaged_because: "--private",
      },
    ];
    versions = [200, { provider: { current: "0.9.0", minimum: "0.8.0" } }];
    const { code, stdout } = await why();
    expect(code).toBe(1);
    expect(stdout).toContain("and the oldest that it takes 0.8.0");
    expect(stdout).toContain("  what helps  leave --private out\n  no orders   --private\n");
  });

  it.each([
    [
      "a refusal in its own words",
      404,
      { error: { message: "you have no such machine" } },
      "you have no such machine (404)",
    ],
    ["what is no answer", 200, { hello: 1 }, "it answers what no coordinator would (200)"],
    ["the page of a proxy", 502, "<html>Bad gateway</html>", "it answers what no coordinator would (502)"],
    [
      "a redirection",
      301,
      "",
      "the coordinator's address redirects to https://pool.example.com/: use that one (301)",
    ],
  ])("never says that all is well after %s", async (_, status, body, words) => {
    const location = { location: "https://pool.example.com/" };
    explanation = [status, body, status === 301 ? location : {}];
    const { code, stdout } = await why();
    expect(code).toBe(1);
    expect(stdout).toContain(`  coordinator ${words}\n`);
  });

  it("says so if nobody answers there", async () => {
    const gone = createServer();
    await new Promise<void>((resolve) => gone.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(gone.address() as AddressInfo).port}`;
    await new Promise<void>((resolve) => gone.close(() => resolve()));
    const { code, stdout } = await why();
    expect(code).toBe(1);
    expect(stdout).toMatch(/ {2}coordinator it does not answer: .*ECONNREFUSED/);
  });

  it("says so if the address begins with https and nobody speaks it there", async () => {
    url = url.replace("http:", "https:");
    const { code, stdout } = await why();
    expect(code).toBe(1);
    expect(stdout).toContain("  coordinator it does not answer: that port does not speak TLS: does its");
  });

  it("knows the machine by the state directory, also while its program runs", async () => {
    const coordinator = await FakeCoordinator.start();
    const argv = [
      "--coordinator",
      coordinator.url,
      "--engine",
      "echo",
      "--model",
      "alpha",
      "--machine-id",
      "mini-7",
    ];
    const serving = new ProviderProcess(argv, { POOLKEEPER_PROVIDER_TOKEN: "the-token" });
    started.push(serving);
    await coordinator.nextSocket();
    // With all flags that it was started with.
    const { code, stdout } = await why(["--engine", "echo", "--model", "alpha"], serving.stateDirectory);
    expect(code).toBe(0);
    expect(stdout).toContain("mini-7 at ");
    await serving.dispose();
    await coordinator.stop();
  });

  it("asks for --state where there is no machine yet", async () => {
    const { code, stderr } = await why([]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^poolkeeper-provider: No machine has been started with the state directory/);
  });
});

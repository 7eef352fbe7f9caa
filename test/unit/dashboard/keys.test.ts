import { describe, expect, it } from "vitest";

import {
  filteredSecrets,
  keyDetails,
  keyLines,
  keysSummary,
  ownersOf,
  sortedKeys,
  sortedTokens,
  tokenDetails,
  tokenLines,
  useNote,
  useText,
  type KeyRow,
  type KeySort,
} from "../../../dashboard/keys.js";
import { keyRevocation, tokenRevocation } from "../../../dashboard/revocation.js";
import { aMachine, aSnapshot, aUsage, NOW, used } from "./snapshot-scene.ts";

/** What the page says of API keys and provider tokens. */

function aKey(fields: Partial<KeyRow> = {}): KeyRow {
  return {
    id: "31ce20c437d22bdc02",
    owner: "acme",
    name: "web",
    created_at: NOW,
    requests_per_minute: null,
    tokens_per_minute: null,
    priority: "normal",
    ...fields,
  };
}

const ofKey = (key_id: string, row: ReturnType<typeof used>, tokens = 0) => ({
  ...row,
  key_id,
  prompt_tokens: tokens,
  completion_tokens: 1,
});

describe("what a key was used for", () => {
  const row = aKey({ id: "k1" });
  const lineWith = (usage: Parameters<typeof keyLines>[1]) => {
    const [line] = keyLines([row], usage);
    if (line === undefined) throw new Error("the key has no line");
    return line;
  };

  it("is the sum of all models, hours and outcomes", () => {
    const usage = aUsage(
      ofKey("k1", used("ok", 90, 3), 1000),
      ofKey("k1", used("queue_full", 5, 0, "b"), 0),
      ofKey("k2", used("ok", 7), 7),
    );
    const line = lineWith(usage);
    expect(line.use).toEqual({ requests: 95, tokens: 1002, lastHourAt: NOW - 1_800_000 });
    expect([useText(line.use), useNote(line.use)]).toEqual(["95", "1,002 tokens"]);
    expect(keyDetails(line).at(-1)?.value).toMatch(
      /^95 requests, 1,002 tokens; the last in the hour from \d\d:\d\d$/,
    );
  });

  it("is nothing without a request, and not known before usage was read", () => {
    const [unused, unknown] = [lineWith(aUsage()), lineWith(null)];
    expect([useText(unused.use), useNote(unused.use), keyDetails(unused).at(-1)?.value]).toEqual([
      "0",
      "",
      "not used",
    ]);
    expect([useText(unknown.use), useNote(unknown.use), keyDetails(unknown).at(-1)?.value]).toEqual([
      "?",
      "",
      "not known yet",
    ]);
  });
});

describe("the filter of keys", () => {
  const lines = keyLines(
    [aKey(), aKey({ id: "aa", owner: "Globex", name: "nightly batch" }), aKey({ id: "bb", owner: "globex" })],
    null,
  );
  const found = (typed: string) => filteredSecrets(lines, typed).map(({ id }) => id);

  it("wants every word in owner, name or id", () => {
    expect(found("")).toHaveLength(3);
    expect(found("GLOBEX")).toEqual(["aa", "bb"]);
    expect(found("batch globex")).toEqual(["aa"]);
    expect(found("31ce20")).toEqual(["31ce20c437d22bdc02"]);
  });

  it("finds the key of a whole secret, and no other", () => {
    expect(found(`pk_31ce20c437d22bdc02_${"5".repeat(64)}`)).toEqual(["31ce20c437d22bdc02"]);
    expect(found(`pk_${"0".repeat(18)}_${"5".repeat(64)}`)).toEqual([]);
  });
});

describe("the order of keys", () => {
  const rows = [
    aKey({ id: "1", name: "mac 10", requests_per_minute: 5, priority: "low", created_at: NOW - 2 }),
    aKey({ id: "2", name: "mac 9", requests_per_minute: null, priority: "high", created_at: NOW }),
    aKey({ id: "3", name: "mac 9", requests_per_minute: 60, created_at: NOW - 1 }),
  ];
  const lines = keyLines(rows, aUsage(ofKey("3", used("ok", 2))));
  const by = (key: KeySort, isDescending: boolean) =>
    sortedKeys(lines, { key, isDescending }).map(({ id }) => id);

  it("takes no limit for the highest, and numbers in names for numbers", () => {
    expect(by("requests", true)).toEqual(["2", "3", "1"]);
    expect(by("tokens", true)).toEqual(["1", "2", "3"]);
    expect(by("name", false)).toEqual(["2", "3", "1"]);
    expect(by("priority", true)).toEqual(["2", "3", "1"]);
    expect(by("created", true)).toEqual(["2", "3", "1"]);
    expect(by("use", true)).toEqual(["3", "1", "2"]);
    expect(by("owner", true)).toEqual(["1", "2", "3"]);
  });

  it("is that of tokens by what these have", () => {
    const machines = [aMachine({ token_id: "2" })];
    const tokens = tokenLines(
      [aKey({ id: "1", owner: "a" }), aKey({ id: "2", owner: "b", created_at: NOW + 1 })],
      aSnapshot({ fleet: { machines } }),
    );
    const order = (key: Parameters<typeof sortedTokens>[1]["key"]) =>
      sortedTokens(tokens, { key, isDescending: true }).map(({ id }) => id);
    expect(order("machines")).toEqual(["2", "1"]);
    expect(order("owner")).toEqual(["2", "1"]);
    expect(order("name")).toEqual(["1", "2"]);
    expect(order("created")).toEqual(["2", "1"]);
  });
});

describe("the question before a revocation", () => {
  const token = aKey({ name: "office" });
  const questionWith = (...machines: Parameters<typeof aMachine>[0][]) => {
    const snapshot = aSnapshot({ fleet: { machines: machines.map(aMachine) } });
    const [line] = tokenLines([token], snapshot);
    if (line === undefined) throw new Error("the token has no line");
    return { text: tokenRevocation(line, snapshot).text, details: tokenDetails(line).at(-1)?.value };
  };

  it("names the machines that are concerned: those that are connected and came with it", () => {
    const { text, details } = questionWith(
      ...["mac-1", "mac-2", "mac-3", "mac-4"].map((machine_id) => ({ machine_id, token_id: token.id })),
      { machine_id: "mac-off", state: "offline", token_id: token.id },
      { machine_id: "mac-other", token_id: "another" },
    );
    expect(text).toContain("closed at once (4005)");
    expect(text).toContain("Connected with it are 4 machines: mac-1, mac-2, mac-3 and 1 more. Its id");
    expect(details).toBe("4 machines connected: mac-1, mac-2, mac-3 and 1 more");
  });

  it("says that there is none, or that it is one", () => {
    expect(questionWith({ state: "offline", token_id: token.id })).toMatchObject({
      text: expect.stringContaining("No machine is connected with it now.") as string,
      details: "none is connected",
    });
    expect(questionWith({ token_id: token.id }).text).toContain("Connected with it is 1 machine: mac-1.");
  });

  it("names those of its owner of which nobody knows with which token they came", () => {
    const { text } = questionWith(
      { machine_id: "mac-old", token_id: null },
      { machine_id: "mac-foreign", token_id: null, owner: "globex" },
      { machine_id: "mac-gone", token_id: null, state: "offline" },
    );
    expect(text).toContain(
      "No machine is connected with it now. With this token or another one of acme, nobody knows: mac-old. Its id",
    );
  });

  it("tells apart those that have the same name, by their ids", () => {
    const { id } = token;
    expect(questionWith().text).toContain(`Its id is ${id}.`);
    expect(keyLines([token], null).map((line) => keyRevocation(line).text)[0]).toContain(`Its id is ${id}.`);
  });

  it("says of a key how much it is in use", () => {
    const textWith = (...rows: ReturnType<typeof used>[]) =>
      keyLines([aKey({ id: "k1" })], aUsage(...rows)).map((line) => keyRevocation(line).text)[0];
    expect(textWith(ofKey("k1", used("ok", 1200)))).toContain("It had 1,200 requests in the last day.");
    expect(textWith()).not.toContain("requests in");
  });
});

it("knows all owners, each once, those of machines included", () => {
  const snapshot = aSnapshot({ fleet: { machines: [aMachine({ owner: "lab" })] } });
  expect(ownersOf([aKey(), aKey(), aKey({ owner: "b" })], snapshot)).toEqual(["acme", "b", "lab"]);
  expect(ownersOf([], null)).toEqual([]);
});

it("sums up what was read, and when", () => {
  expect(keysSummary([aKey(), aKey({ owner: "b" })], [aKey()], 3, NOW)).toMatch(
    /^2 API keys · 1 provider token · 3 admin tokens · 2 owners · as of \d\d:\d\d:\d\d$/,
  );
  expect(keysSummary([], [], 0, null)).toBe("");
});

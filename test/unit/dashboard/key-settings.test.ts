import { describe, expect, it } from "vitest";

import { ApiError } from "../../../dashboard/api-error.js";
import {
  changesOf,
  DEFAULTS,
  noNumber,
  obstacleTo,
  refusalOf,
  textOf,
  unmadeSentence,
  type SettingName,
} from "../../../dashboard/key-settings.js";

/** What is typed about a key, and what the coordinator says of it. */

const BEFORE = { requests_per_minute: 60, tokens_per_minute: null, priority: "low" } as const;

const typedOver =
  (typed: Partial<Record<SettingName, string>>) =>
  (name: SettingName): string =>
    typed[name] ?? textOf(name, BEFORE);

describe("what is typed", () => {
  it("is only sent if it is another setting than before, so that others may change the rest", () => {
    expect(changesOf(BEFORE, typedOver({}))).toEqual({ changes: {}, wrong: [] });
    expect(changesOf(BEFORE, typedOver({ tokens_per_minute: " 100000 " })).changes).toEqual({
      tokens_per_minute: 100_000,
    });
    expect(changesOf(BEFORE, typedOver({ priority: "high" })).changes).toEqual({ priority: "high" });
  });

  it("is no limit if it is empty", () => {
    expect(changesOf(BEFORE, typedOver({ requests_per_minute: " " })).changes).toEqual({
      requests_per_minute: null,
    });
    expect(changesOf(DEFAULTS, (name) => textOf(name, DEFAULTS)).changes).toEqual({});
  });

  it.each(["many", "1,5", "1e999", "NaN"])("is not sent if it is no number: %s", (text) => {
    expect(changesOf(BEFORE, typedOver({ requests_per_minute: text }))).toEqual({
      changes: {},
      wrong: ["requests_per_minute"],
    });
    expect(noNumber("requests_per_minute", text)).toBe(`Requests a minute: "${text}" is no number.`);
  });

  it("has an owner and a name", () => {
    expect(obstacleTo("", "web").field).toBe("owner");
    expect(obstacleTo("acme", "").field).toBe("name");
    expect(obstacleTo("acme", "web")).toEqual({ problem: "", field: null });
  });
});

describe("a refusal", () => {
  it("calls the field as the form does", () => {
    const error = new ApiError("owner: must have 1 to 128 printable ASCII characters", { param: "owner" });
    expect(refusalOf(error)).toBe("Owner, the account: must have 1 to 128 printable ASCII characters.");
    expect(refusalOf(new ApiError("no", { param: "constructor" }))).toBe("No.");
  });

  it("of an id that is not there leaves open why", () => {
    const error = new ApiError("there is no key or token with the id", { code: "not_found" });
    expect(refusalOf(error)).toMatch(/does not know it: it is revoked, or/);
    expect(unmadeSentence(error)).toBe(refusalOf(error));
  });

  it("is none if there was no answer: a secret may be in force that nobody has seen", () => {
    expect(unmadeSentence(new ApiError("no answer", { isUnanswered: true }))).toMatch(
      /revoke it if it is in the list\.$/,
    );
  });
});

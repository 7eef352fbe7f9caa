import { describe, expect, it } from "vitest";

import { auditPath, difference, outcomeOf, wordsOf } from "../../../core/audit.ts";

describe("a change in words", () => {
  it.each([
    ["PUT", "/v1/admin/flags/queue_max", "set the flag queue_max"],
    ["KV", "/v1/admin/flags/queue_max", "set the flag queue_max, in KV by hand"],
    ["PUT", "/v1/admin/catalog", "replace the catalog"],
    ["PUT", "/v1/admin/catalog?force=true", "replace the catalog"],
    ["PUT", "/v1/admin/catalog/org%2Fa", "put org/a into the catalog"],
    ["DELETE", "/v1/admin/catalog/org/a?force=true", "take org/a out of the catalog"],
    ["POST", "/v1/admin/machines/mac-1/pin", "pin the machine mac-1"],
    ["DELETE", "/v1/admin/machines/mac-1", "remove the machine mac-1"],
    ["POST", "/v1/admin/machines/mac-1", "POST /v1/admin/machines/mac-1"],
    ["POST", "/v1/admin/keys", "make an API key"],
    ["PATCH", "/v1/admin/keys/31ce", "change the API key 31ce"],
    ["DELETE", "/v1/admin/keys/31ce", "revoke the API key 31ce"],
    ["POST", "/v1/admin/provider-tokens", "make a provider token"],
    ["POST", "/v1/admin/admin-tokens", "make an admin token"],
    ["DELETE", "/v1/admin/provider-tokens/%E0%A4%A", "revoke the provider token %E0%A4%A"],
    ["POST", "/v1/admin/constructor/x", "POST /v1/admin/constructor/x"],
    ["POST", "/v2/other", "POST /v2/other"],
  ])("%s %s: %s", (method, path, words) => {
    expect(wordsOf(method, path)).toBe(words);
  });
});

it.each([
  [null, "unknown"],
  [200, "done"],
  [202, "done"],
  [403, "refused"],
  [412, "refused"],
  [500, "unknown"],
  [503, "unknown"],
])("an answer with the status %s means that the change is %s", (status, outcome) => {
  expect(outcomeOf(status)).toBe(outcome);
});

describe("what differs", () => {
  it("is only what is other than before, on either side", () => {
    expect(difference({ a: 1, b: [1], c: null }, { a: 1, b: [2], d: "x" })).toEqual({
      before: '{"b":[1],"c":null}',
      after: '{"b":[2],"d":"x"}',
    });
    expect(difference({ a: { b: 1 } }, { a: { b: 1 } })).toEqual({ before: null, after: null });
    expect(difference(null, { a: 1 })).toEqual({ before: null, after: '{"a":1}' });
    expect(difference({ a: 1 }, null)).toEqual({ before: '{"a":1}', after: null });
    expect(difference(null, null)).toEqual({ before: null, after: null });
  });

  it("is never long: lists are counted and texts cut, and what is long all the same is left out", () => {
    const many = Array.from({ length: 1000 }, (_, n) => `model-${n}`);
    const text = "t".repeat(5000);
    expect(difference(null, { many, text, one: 1 }).after).toBe(
      JSON.stringify({ many: 1000, text: `${"t".repeat(300)}...`, one: 1 }),
    );
    const fields = Object.fromEntries(many.map((name) => [`${name} of the catalog`, 1]));
    expect(difference(null, fields).after).toBe(`{"left_out_chars":${JSON.stringify(fields).length}}`);
  });

  it("holds no secret, wherever somebody has put one", () => {
    const id = "0123456789abcdef01";
    for (const prefix of ["pk", "pt", "pa", "PK"]) {
      const secret = `${prefix}_${id}_${"f".repeat(64)}`;
      expect(difference({ name: secret }, { name: `my ${secret}!` })).toEqual({
        before: `{"name":"${prefix}_${id}_..."}`,
        after: `{"name":"my ${prefix}_${id}_...!"}`,
      });
      const long = `${"x".repeat(260)} ${secret}`;
      // Cut in the middle of the secret.
      expect(difference(null, { long, list: Array(3000).fill("entry") }).after).not.toContain("f".repeat(20));
      expect(auditPath(`/v1/admin/keys/${secret}`)).toBe(`/v1/admin/keys/${prefix}_${id}_...`);
    }
    expect(auditPath("x".repeat(9000))).toHaveLength(500);
  });
});

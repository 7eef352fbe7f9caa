import { createHash, verify } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { Log } from "../../provider/src/agent/ports.ts";
import { createAttester } from "../../provider/src/attester.ts";
import { openIdentity, type Identity } from "../../provider/src/state.ts";
import { issue } from "../support/certificates.ts";

let directory: string;
let identity: Identity;
let warnings: unknown[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "attester-"));
  identity = openIdentity(directory, null);
  warnings = [];
});
afterEach(() => rmSync(directory, { recursive: true }));

const log: Log = {
  info: () => {},
  warn: (message, fields) => warnings.push([message, fields]),
  error: () => {},
};

const chainFile = (): string => join(directory, "chain.pem");

const pem = (base64: string): string =>
  `-----BEGIN CERTIFICATE-----\n${base64.replace(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`;

/** What Apple would give for a key. @returns the certificates, DER in base64 */
async function attest(publicKey: string): Promise<string[]> {
  const root = await issue({ name: "Root", issuer: null, isAuthority: true });
  const authority = await issue({ name: "Sub CA", issuer: root, isAuthority: true });
  const freshness = new Uint8Array(createHash("sha256").update(Buffer.from(publicKey, "base64")).digest());
  const device = await issue({ name: "a Mac", issuer: authority, freshness });
  return [device.text, authority.text];
}

describe("the attester of a machine", () => {
  it("signs with the machine's key, r and s in 64 bytes", () => {
    const { sign, certificateChain } = createAttester(identity, null, log);
    const signature = Buffer.from(sign("text"), "base64");
    const key = { key: Buffer.from(identity.publicKey, "base64"), format: "der", type: "spki" } as const;
    expect(signature).toHaveLength(64);
    const options = { ...key, dsaEncoding: "ieee-p1363" } as const;
    expect(verify("sha256", Buffer.from("text"), options, signature)).toBe(true);
    expect(certificateChain()).toEqual([]);
  });

  it("shows the certificates in the file, in their order, also those that came later", async () => {
    const first = await attest(identity.publicKey);
    writeFileSync(chainFile(), `of this Mac\n${first.map(pem).join("")}`);
    const { certificateChain } = createAttester(identity, chainFile(), log);
    expect(certificateChain()).toEqual(first);
    const second = await attest(identity.publicKey);
    writeFileSync(chainFile(), second.map(pem).join("\n"));
    expect(certificateChain()).toEqual(second);
  });

  it("goes on without certificates if the file is spoiled while it serves, and says so", async () => {
    writeFileSync(chainFile(), (await attest(identity.publicKey)).map(pem).join(""));
    const { certificateChain } = createAttester(identity, chainFile(), log);
    rmSync(chainFile());
    expect(certificateChain()).toEqual([]);
    expect(warnings).toEqual([["shows no certificates", { reason: expect.stringContaining("ENOENT") }]]);
  });

  it.each([
    ["nothing", "", /holds no certificate\. It must be PEM/],
    ["no certificate", pem("c2ln"), /Cannot read certificates from/],
  ])("refuses a file of %s at the start", (_, text, expected) => {
    writeFileSync(chainFile(), text);
    expect(() => createAttester(identity, chainFile(), log)).toThrow(expected);
  });

  it("refuses more certificates than a pool takes: it would close each socket that shows them", async () => {
    const [device = "", authority = ""] = await attest(identity.publicKey);
    writeFileSync(chainFile(), [device, ...Array<string>(8).fill(authority)].map(pem).join(""));
    expect(() => createAttester(identity, chainFile(), log)).toThrow(/more certificates, or longer ones/);
  });

  it("refuses certificates of another key, and says which nonce to ask for", async () => {
    writeFileSync(chainFile(), (await attest("b3RoZXI=")).map(pem).join(""));
    const nonce = createHash("sha256").update(Buffer.from(identity.publicKey, "base64")).digest("base64");
    expect(() => createAttester(identity, chainFile(), log)).toThrow(`with the nonce ${nonce}`);
  });
});

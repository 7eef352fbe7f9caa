import { createHash, verify } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { Log } from "../../provider/src/agent/ports.ts";
import { createAttester } from "../../provider/src/attester.ts";
import { openIdentity, type Identity } from "../../provider/src/state/identity.ts";
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
async function attest(publicKey: string, authorities = 1): Promise<string[]> {
  let issuer = await issue({ name: "Root", issuer: null, isAuthority: true });
  const chain: string[] = [];
  for (let at = 1; at <= authorities; at++) {
    issuer = await issue({ name: `Sub CA ${at}`, issuer, isAuthority: true });
    chain.unshift(issuer.text);
  }
  const freshness = new Uint8Array(createHash("sha256").update(Buffer.from(publicKey, "base64")).digest());
  const device = await issue({ name: "a Mac", issuer, freshness });
  return [device.text, ...chain];
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
    writeFileSync(chainFile(), (await attest(identity.publicKey, 8)).map(pem).join(""));
    expect(() => createAttester(identity, chainFile(), log)).toThrow(/more certificates, or longer ones/);
    writeFileSync(chainFile(), (await attest(identity.publicKey, 7)).map(pem).join(""));
    expect(createAttester(identity, chainFile(), log).certificateChain()).toHaveLength(8);
  });

  it("refuses certificates in an order that no pool takes", async () => {
    const [device = "", lower = "", upper = ""] = await attest(identity.publicKey, 2);
    writeFileSync(chainFile(), [device, upper, lower].map(pem).join(""));
    expect(() => createAttester(identity, chainFile(), log)).toThrow(
      /Certificate 1 .* not issued by the next/,
    );
  });

  it("refuses certificates of another key, and says which nonce to ask for", async () => {
    writeFileSync(chainFile(), (await attest("b3RoZXI=")).map(pem).join(""));
    const nonce = createHash("sha256").update(Buffer.from(identity.publicKey, "base64")).digest("base64");
    expect(() => createAttester(identity, chainFile(), log)).toThrow(`with the nonce ${nonce}`);
  });
});

import { beforeAll, describe, expect, it } from "vitest";

import type { Proof } from "../../core/pool/attestation.ts";
import { judgeProof } from "../../durable-objects/attestation/judge-proof.ts";
import { attestedText } from "../../protocol/attestation.ts";
import { base64, issue, newKeys, NOW, type Issued, type Wish } from "../support/certificates.ts";

const DAY = 86_400_000;
const SIGN = { name: "ECDSA", hash: "SHA-256" };

/** The machine's key, and what Apple would have to have said of it. */
let live: CryptoKeyPair;
let spki: Uint8Array<ArrayBuffer>;
let freshness: Uint8Array<ArrayBuffer>;
let root: Issued;
let authority: Issued;

beforeAll(async () => {
  live = await newKeys("P-256");
  spki = new Uint8Array((await crypto.subtle.exportKey("spki", live.publicKey)) as ArrayBuffer);
  freshness = new Uint8Array(await crypto.subtle.digest("SHA-256", spki));
  root = await issue({ name: "Root", issuer: null, isAuthority: true });
  authority = await issue({ name: "Sub CA", issuer: root, isAuthority: true });
});

const device = (wish: Partial<Wish> = {}): Promise<Issued> =>
  issue({ name: "a Mac", issuer: authority, freshness, ...wish });

async function aProof(fields: Partial<Proof> = {}, key = live.privateKey): Promise<Proof> {
  const signed = { nonce: "n", issuedAt: NOW, status: "{}" };
  const text = attestedText(signed.nonce, signed.issuedAt, signed.status);
  const signature = base64(await crypto.subtle.sign(SIGN, key, new TextEncoder().encode(text)));
  return { ...signed, signature, publicKey: base64(spki), ...fields };
}

async function judge(fields: Partial<Proof> = {}) {
  return judgeProof(await aProof(fields), NOW, root.text);
}

describe("a signature", () => {
  it("by the machine's key proves self_signed", async () => {
    expect(await judge()).toEqual({ level: "self_signed", problem: null });
  });

  it("by another key proves nothing", async () => {
    const { privateKey } = await newKeys("P-256");
    expect(await judgeProof(await aProof({}, privateKey), NOW, root.text)).toEqual({
      level: "none",
      problem: "its signature does not fit the challenge and its key",
    });
  });

  it.each([
    ["another nonce", { nonce: "m" }],
    ["another time", { issuedAt: NOW + 1 }],
    ["another status", { status: '{"a":1}' }],
    ["no base64", { signature: "§" }],
    ["another length", { signature: "c2ln" }],
  ])("of %s proves nothing", async (_, fields) => {
    expect(await judge(fields)).toMatchObject({ level: "none" });
  });

  it.each(["k", "§", "c2ln"])("by a key such as %o proves nothing", async (publicKey) => {
    expect(await judge({ publicKey })).toEqual({
      level: "none",
      problem: "the key it registered with is not a P-256 key (SPKI, base64)",
    });
  });

  it("by a key of another curve proves nothing", async () => {
    const { publicKey } = await newKeys("P-384");
    const other = (await crypto.subtle.exportKey("spki", publicKey)) as ArrayBuffer;
    expect(await judge({ publicKey: base64(other) })).toMatchObject({ level: "none" });
  });

  it("that is wrong proves nothing with the best of chains", async () => {
    const certificate_chain = [(await device()).text, authority.text];
    expect(await judge({ certificate_chain, nonce: "m" })).toMatchObject({ level: "none" });
  });
});

describe("[F4] a certificate chain", () => {
  it("that leads from the machine's key to the pinned root proves hardware", async () => {
    const certificate_chain = [(await device()).text, authority.text];
    expect(await judge({ certificate_chain })).toEqual({ level: "hardware", problem: null });
  });

  it("may bring the root along", async () => {
    const certificate_chain = [(await device()).text, authority.text, root.text];
    expect(await judge({ certificate_chain })).toEqual({ level: "hardware", problem: null });
  });

  it("made for another key is refused", async () => {
    const other = new Uint8Array(32);
    const certificate_chain = [(await device({ freshness: other })).text, authority.text];
    expect(await judge({ certificate_chain })).toEqual({
      level: "self_signed",
      problem: "its certificate was not made for its key: the freshness code is not the key's SHA-256",
    });
  });

  it("without a freshness code is refused", async () => {
    const bare = await issue({ name: "a Mac", issuer: authority });
    expect(await judge({ certificate_chain: [bare.text, authority.text] })).toMatchObject({
      level: "self_signed",
    });
  });

  it.each([
    ["a device's certificate that has expired", { from: NOW - 2 * DAY, to: NOW - 1 }],
    ["a device's certificate that is not valid yet", { from: NOW + 60_000 }],
  ])("with %s is refused", async (_, wish) => {
    const certificate_chain = [(await device(wish)).text, authority.text];
    expect(await judge({ certificate_chain })).toMatchObject({ level: "self_signed" });
  });

  it("with an authority that has expired is refused", async () => {
    const old = await issue({ name: "Old CA", issuer: root, isAuthority: true, to: NOW - 1 });
    const certificate_chain = [(await device({ issuer: old })).text, old.text];
    expect(await judge({ certificate_chain })).toMatchObject({ level: "self_signed" });
  });

  it("to a foreign root is refused, also one of the same name, also if it brings that along", async () => {
    const foreign = await issue({ name: "Root", issuer: null, isAuthority: true });
    const own = await issue({ name: "Sub CA", issuer: foreign, isAuthority: true });
    const leaf = await device({ issuer: own });
    for (const rest of [[own.text], [own.text, foreign.text]]) {
      const { level, problem } = await judge({ certificate_chain: [leaf.text, ...rest] });
      expect(level).toBe("self_signed");
      expect(problem).toContain("does not lead to Apple's attestation root");
    }
  });

  it("signed by somebody who is no authority is refused: a device cannot vouch for another", async () => {
    const genuine = await device();
    const forged = await device({ name: "another", issuer: genuine });
    const certificate_chain = [forged.text, genuine.text, authority.text];
    expect(await judge({ certificate_chain })).toMatchObject({ level: "self_signed" });
  });

  it("with a link left out is refused", async () => {
    expect(await judge({ certificate_chain: [(await device()).text] })).toMatchObject({
      level: "self_signed",
    });
  });

  it("that was tampered with is refused, wherever in what is signed", async () => {
    const { text, certificate } = await device();
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    // Behind the outer header; after it come the name of the algorithm and the signature itself.
    const signed = { from: 4, to: 4 + certificate.tbsView.length };
    for (let at = signed.from; at < signed.to; at += 5) {
      const tampered = bytes.slice();
      tampered[at] = (tampered[at] ?? 0) ^ 0x01;
      const { level } = await judge({ certificate_chain: [base64(tampered), authority.text] });
      expect(level, `byte ${at}`).toBe("self_signed");
    }
  });

  it.each([
    ["no base64", ["§"]],
    ["no certificate", ["c2ln"]],
    ["a good one and none", null],
  ])("of %s is refused", async (_, chain) => {
    const certificate_chain = chain ?? [(await device()).text, "c2ln"];
    expect(await judge({ certificate_chain })).toEqual({
      level: "self_signed",
      problem: "its certificate chain is not DER in base64",
    });
  });

  it("of the tests does not lead to Apple's root", async () => {
    const proof = await aProof({ certificate_chain: [(await device()).text, authority.text] });
    const { level, problem } = await judgeProof(proof, NOW);
    expect(level).toBe("self_signed");
    expect(problem).toContain("does not lead to Apple's attestation root");
  });
});

import { beforeAll, describe, expect, it } from "vitest";

import type { Proof } from "../../core/pool/attestation.ts";
import { APPLE_ATTESTATION_ROOT } from "../../durable-objects/attestation/apple-root.ts";
import { readCertificate } from "../../durable-objects/attestation/certificate.ts";
import { judgeProof } from "../../durable-objects/attestation/judge-proof.ts";
import { attestedText } from "../../protocol/attestation.ts";
import {
  base64,
  extension,
  FRESHNESS_CODE,
  issue,
  newKeys,
  NOW,
  vouchedFor,
  type Issued,
  type Wish,
} from "../support/certificates.ts";

const DAY = 86_400_000;
const UNKNOWN = extension("1.2.3.4", new ArrayBuffer(2), true);
const FOR_ANOTHER_KEY =
  "its certificate was not made for its key: the freshness code is not the key's SHA-256";
const NO_CERTIFICATES =
  "its certificate chain is not made of X.509 certificates signed with ECDSA, DER in base64";
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
    ["no byte", { signature: "====" }],
    ["zeros", { signature: base64(new Uint8Array(64)) }],
    ["numbers beyond the curve", { signature: base64(new Uint8Array(64).fill(0xff)) }],
    ["many bytes", { signature: base64(new Uint8Array(768).fill(1)) }],
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
    await expectRefused([await device({ freshness: new Uint8Array(32) }), authority], FOR_ANOTHER_KEY);
    // As much as the machine has of it.
    await expectRefused([await device({ freshness: freshness.slice(0, 31) }), authority], FOR_ANOTHER_KEY);
  });

  it("without a freshness code is refused", async () => {
    await expectRefused([await issue({ name: "a Mac", issuer: authority }), authority], FOR_ANOTHER_KEY);
  });

  it.each([
    ["a device's certificate that has expired", { from: NOW - 2 * DAY, to: NOW - 1000 }],
    ["a device's certificate that is not valid yet", { from: NOW + 60_000 }],
  ])("with %s is refused", async (_, wish) => {
    await expectRefused([await device(wish), authority], "number 1 is not valid now");
  });

  it("with an authority that has expired is refused", async () => {
    const old = await issue({ name: "Old CA", issuer: root, isAuthority: true, to: NOW - 1000 });
    await expectRefused([await device({ issuer: old }), old], "number 2 is not valid now");
  });

  it("to a foreign root is refused, also one of the same name, also if it brings that along", async () => {
    const foreign = await issue({ name: "Root", issuer: null, isAuthority: true });
    const own = await issue({ name: "Sub CA", issuer: foreign, isAuthority: true });
    const leaf = await device({ issuer: own });
    await expectRefused([leaf, own], "number 2 has a signature that is not its issuer's");
    await expectRefused([leaf, own, foreign], "number 3 has a signature that is not its issuer's");
  });

  it("signed by somebody who is no authority is refused: a device cannot vouch for another", async () => {
    const genuine = await device();
    const forged = await device({ name: "another", issuer: genuine });
    await expectRefused([forged, genuine, authority], "number 1 was issued by somebody who may not");
  });

  it("with a link left out is refused", async () => {
    await expectRefused([await device()], "number 1 was not issued by the next one's subject");
  });

  it("that shows the device's certificate twice is refused: others could be verified in its place", async () => {
    const foreign = await issue({ name: "Foreign", issuer: null, isAuthority: true });
    const forged = await device({ issuer: foreign });
    const genuine = await device({ freshness: new Uint8Array(32) });
    for (const others of [[authority], [genuine, authority], [authority, genuine], [root]]) {
      await expectRefused([forged, ...others, forged], "was not issued by the next one's subject");
    }
  });

  it("whose authorities vouch for each other is refused at once, and not followed for ever", async () => {
    const one = await issue({ name: "One", issuer: null, isAuthority: true });
    const two = await vouchedFor(await issue({ name: "Two", issuer: null, isAuthority: true }), one);
    const circle = [await vouchedFor(one, two), two];
    const chain = [await device({ issuer: one }), ...circle, ...circle, ...circle];
    await expectRefused(chain, "number 7 was not issued by the next one's subject");
  });

  it("in another order, or with a certificate too many, is refused", async () => {
    const lower = await issue({ name: "Lower CA", issuer: authority, isAuthority: true });
    const leaf = await device({ issuer: lower });
    const certificate_chain = [leaf, lower, authority].map(({ text }) => text);
    expect(await judge({ certificate_chain })).toMatchObject({ level: "hardware" });
    for (const chain of [
      [leaf, authority, lower],
      [leaf, lower, authority, lower],
      [leaf, lower, lower, authority],
    ]) {
      await expectRefused(chain, "was not issued by the next one's subject");
    }
  });

  it("that is longer than an authority in it allows is refused", async () => {
    const last = await issue({ name: "Last CA", issuer: root, isAuthority: true, pathLength: 0 });
    const certificate_chain = [(await device({ issuer: last })).text, last.text];
    expect(await judge({ certificate_chain })).toMatchObject({ level: "hardware" });
    const lower = await issue({ name: "Lower CA", issuer: last, isAuthority: true });
    const leaf = await device({ issuer: lower });
    await expectRefused([leaf, lower, last], "number 2 was issued by somebody who may not");
  });

  it.each([
    ["says that it is none", { signs: true }, "number 1 was issued by somebody who may not"],
    [
      "may not sign certificates",
      { isAuthority: true, signs: false },
      "number 1 was issued by somebody who may not",
    ],
    [
      "has a critical extension that is not understood",
      { isAuthority: true, extensions: [UNKNOWN] },
      "number 2 has a critical extension that is not understood",
    ],
  ])("under an authority that %s is refused", async (_, wish, problem) => {
    const bad = await issue({ name: "Bad CA", issuer: root, ...wish });
    await expectRefused([await device({ issuer: bad }), bad], problem);
  });

  it.each([
    ["RSA", NO_CERTIFICATES],
    ["P-521", "number 1 has a signature that is not its issuer's"],
  ] as const)("under an authority with a key of %s is refused", async (kind, problem) => {
    const keys = await newKeys(kind);
    const bad = await issue({ name: "Bad CA", issuer: root, isAuthority: true, keys });
    const leaf = await device({ issuer: bad });
    await expectRefused([leaf, bad], problem);
  });

  it.each([
    [
      "a critical extension that is not understood",
      { extensions: [UNKNOWN] },
      "number 1 has a critical extension that is not understood",
    ],
    [
      "two freshness codes",
      { extensions: [extension(FRESHNESS_CODE, new ArrayBuffer(32), false)] },
      NO_CERTIFICATES,
    ],
    ["no version 3", { version: 1 }, NO_CERTIFICATES],
    ["another hash", { hash: "SHA-512" }, NO_CERTIFICATES],
    ["a broken hash", { hash: "SHA-1" }, NO_CERTIFICATES],
  ])("of a device's certificate with %s is refused", async (_, wish, problem) => {
    await expectRefused([await device(wish), authority], problem);
  });

  it("that was cut off anywhere is refused, and harms nobody", async () => {
    const { text } = await device();
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    for (let length = 0; length < bytes.length; length++) {
      await expectRefused([{ text: base64(bytes.slice(0, length)) }, authority], NO_CERTIFICATES);
    }
  });

  it("that was tampered with is refused, wherever in what is signed", async () => {
    const { text, certificate } = await device();
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    // Behind the outer header; after it come the name of the algorithm and the signature itself.
    const signed = { from: 4, to: 4 + certificate.tbsView.length };
    for (let at = signed.from; at < signed.to; at++) {
      const tampered = bytes.slice();
      tampered[at] = (tampered[at] ?? 0) ^ 0x01;
      await expectRefused([{ text: base64(tampered) }, authority], "");
    }
  });

  it.each([
    ["no base64", ["§"]],
    ["no certificate", ["c2ln"]],
    ["nothing", [""]],
    ["a good one and none", null],
  ])("of %s is refused", async (_, texts) => {
    const chain = (texts ?? [(await device()).text, "c2ln"]).map((text) => ({ text }));
    await expectRefused(chain, NO_CERTIFICATES);
  });

  it("of the tests does not lead to Apple's root", async () => {
    const proof = await aProof({ certificate_chain: [(await device()).text, authority.text] });
    const { level, problem } = await judgeProof(proof, NOW);
    expect(level).toBe("self_signed");
    expect(problem).toContain("does not lead to Apple's attestation root");
  });
});

it("the pinned root is the one that Apple publishes, and can be read", async () => {
  const der = Uint8Array.from(atob(APPLE_ATTESTATION_ROOT), (character) => character.charCodeAt(0));
  const print = new Uint8Array(await crypto.subtle.digest("SHA-256", der));
  expect(base64(print)).toBe("zPWe+PyzAX2X+LX6b6kOej+Sg/drVaxs9u2ouLlJ8Fs=");
  expect(readCertificate(APPLE_ATTESTATION_ROOT)).toMatchObject({
    notBefore: Date.UTC(2022, 1, 16, 19, 1, 24),
    notAfter: Date.UTC(2047, 1, 20),
    curve: { name: "P-384" },
    pathLength: Infinity,
  });
});

/** The machine keeps what its signature proves. */
async function expectRefused(chain: readonly Pick<Issued, "text">[], problem: string): Promise<void> {
  expect(await judge({ certificate_chain: chain.map(({ text }) => text) })).toEqual({
    level: "self_signed",
    problem: expect.stringContaining(problem),
  });
}

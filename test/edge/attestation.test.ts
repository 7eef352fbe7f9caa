import { beforeAll, describe, expect, it } from "vitest";

import { attestedText } from "../../protocol/attestation.ts";
import { base64, issue, newKeys } from "../support/certificates.ts";
import { connect, expectAnswer, join, registerMessage, type FakeProvider } from "./fake-provider.ts";
import {
  adminCall,
  chat,
  errorOf,
  fleet,
  poolOf,
  resetObject,
  rowsOf,
  scene,
  setFlag,
  until,
  type Scene,
} from "./scene.ts";

/** Machines that prove who they are, and a fleet that demands it, in real objects. */

let keys: CryptoKeyPair;
let publicKey: string;

beforeAll(async () => {
  keys = await newKeys("P-256");
  publicKey = base64((await crypto.subtle.exportKey("spki", keys.publicKey)) as ArrayBuffer);
});

const enter = (at: Scene, fields: object = {}): Promise<FakeProvider> =>
  join(at, { public_key: publicKey, attests: true, ...fields });

/** Answers the next challenge with a signature by the given key. */
async function prove(
  machine: FakeProvider,
  fields: object = {},
  key = keys.privateKey,
  session = "session",
): Promise<void> {
  const challenge = await machine.next("attestation_challenge");
  const nonce = String(challenge["nonce"]);
  const status = JSON.stringify({ machine_id: machine.machineId, session_id: session });
  const text = new TextEncoder().encode(attestedText(nonce, Number(challenge["issued_at"]), status));
  const signature = base64(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, text));
  machine.send({ type: "attestation_response", nonce, signature, status, ...fields });
}

const details = (machine: FakeProvider): Promise<Record<string, unknown>> =>
  adminCall("GET", `/machines/${machine.machineId}`);

async function trustOf(machine: FakeProvider): Promise<unknown[]> {
  const { trust_level, trust_problem } = await details(machine);
  return [trust_level, trust_problem];
}

/** Waits until the pool has judged the answer. */
const untilJudged = (at: Scene): Promise<void> =>
  until(async () => {
    const [machine] = (await poolOf(at).report(4)).machines;
    return machine?.trust !== "none" || machine.trustProblem !== null;
  });

describe("a machine's proof", () => {
  it("is asked for when it registers, and shown to operators", async () => {
    const at = await scene();
    const machine = await enter(at);
    expect(await trustOf(machine)).toEqual(["none", null]);
    await prove(machine);
    await untilJudged(at);
    expect(await trustOf(machine)).toEqual(["self_signed", null]);
  });

  it("by another key than it registered with is none", async () => {
    const at = await scene();
    const machine = await enter(at);
    await prove(machine, {}, (await newKeys("P-256")).privateKey);
    await untilJudged(at);
    expect(await trustOf(machine)).toEqual(["none", "its signature does not fit the challenge and its key"]);
  });

  it("[F4] with certificates under a root that is not Apple's is not hardware", async () => {
    const at = await scene();
    const machine = await enter(at);
    const spki = (await crypto.subtle.exportKey("spki", keys.publicKey)) as ArrayBuffer;
    const freshness = new Uint8Array(await crypto.subtle.digest("SHA-256", spki));
    const root = await issue({
      name: "Apple Enterprise Attestation Root CA",
      issuer: null,
      isAuthority: true,
    });
    const device = await issue({ name: "a Mac", issuer: root, freshness, to: Date.now() + 60_000 });
    await prove(machine, { certificate_chain: [device.text, root.text] });
    await untilJudged(at);
    expect(await trustOf(machine)).toEqual([
      "self_signed",
      expect.stringContaining("does not lead to Apple's attestation root"),
    ]);
  });

  it("has to be given again after the pool was reset", async () => {
    const at = await scene();
    const machine = await enter(at);
    await prove(machine);
    await untilJudged(at);
    await resetObject(poolOf(at));
    const again = await join(at, { public_key: publicKey, attests: true }, machine.machineId);
    expect(await trustOf(again)).toEqual(["none", null]);
    await prove(again);
    await untilJudged(at);
    expect(await trustOf(again)).toEqual(["self_signed", null]);
  });
});

describe("a fleet that demands self_signed", () => {
  it("sends requests only to machines that have proven it, and says so of the others", async () => {
    const at = await scene();
    const silent = await join(at);
    await setFlag("min_trust_level", "self_signed");
    try {
      // It did not say that it answers, and is asked all the same.
      await silent.next("attestation_challenge");
      expect((await details(silent))["explanation"]).toMatchObject({ gate: "below_trust_level" });
      const machine = await enter(at);
      const waiting = chat(at);
      await prove(machine);
      machine.answer(await machine.next("inference_request"));
      expect((await waiting).status).toBe(200);
      await expectAnswer(at, machine);
    } finally {
      await setFlag("min_trust_level", "none");
    }
    await until(async () =>
      (await poolOf(at).report(4)).machines.every(({ blockedBy }) => blockedBy === null),
    );
  });

  it("tells a machine's owner what was wrong with its proof", async () => {
    const at = await scene();
    await setFlag("min_trust_level", "self_signed");
    try {
      const machine = await enter(at);
      await prove(machine, { signature: "c2ln" });
      await untilJudged(at);
      expect((await details(machine))["explanation"]).toMatchObject({
        gate: "below_trust_level",
        why: expect.stringContaining("its signature does not fit"),
      });
      expect(await errorOf(await chat(at))).toMatchObject({ code: "model_unavailable" });
    } finally {
      await setFlag("min_trust_level", "none");
    }
  });
});

describe("[H11] a program with a machine's token, id and public key", () => {
  const dialAs = async (at: Scene, machine: FakeProvider, fields: object): Promise<FakeProvider> => {
    const other = await connect(at, machine.machineId);
    const said = { public_key: publicKey, session_id: "other", ...fields };
    other.send(registerMessage(machine.machineId, [at.model], said));
    return other;
  };

  it("does not take the machine's place without its private key, and does with it", async () => {
    const at = await scene();
    const machine = await enter(at);
    await prove(machine);
    await untilJudged(at);
    const thief = await dialAs(at, machine, { attests: false, private_only: true });
    await prove(thief, {}, (await newKeys("P-256")).privateKey, "other");
    await expectAnswer(at, machine);
    expect(thief.unread).toEqual([]);
    const [row] = await rowsOf(
      fleet(),
      "SELECT private_only FROM machines WHERE machine_id = ?",
      machine.machineId,
    );
    expect(row).toEqual({ private_only: 0 });

    const restarted = await dialAs(at, machine, { attests: true });
    await prove(restarted, {}, keys.privateKey, "other");
    await restarted.next("registered");
    expect((await machine.closed).code).toBe(4001);
    await expectAnswer(at, restarted);
  });
});

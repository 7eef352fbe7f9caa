import { describe, expect, it } from "vitest";

import type { ProofVerdict } from "../../../../core/pool/attestation.ts";
import { expected, say } from "./assigned-scene.ts";
import type { Message } from "./fake-socket.ts";
import { PoolScene, type Machine } from "./pool-scene.ts";

const SELF_SIGNED: ProofVerdict = { level: "self_signed", problem: null };
const REFUTED: ProofVerdict = { level: "none", problem: "the signature is wrong" };

function challengeOf({ socket }: Machine): Message | undefined {
  return socket.take("attestation_challenge").at(-1);
}

/** Answers the newest challenge of a socket, and the answer is judged so. */
function prove(scene: PoolScene, machine: Machine, verdict = SELF_SIGNED, session = "s"): void {
  const nonce = challengeOf(machine)?.["nonce"];
  const status = JSON.stringify({ machine_id: "mac-1", session_id: session });
  scene.say(machine, { type: "attestation_response", nonce, signature: "c2ln", status });
  scene.pool.judged(machine.connection, String(nonce), verdict, scene.now);
}

/** A machine that is here and has proven its key. */
function proven(): { scene: PoolScene; owner: Machine } {
  const scene = new PoolScene();
  const owner = scene.join("mac-1", { attests: true });
  prove(scene, owner);
  scene.questions.length = 0;
  return { scene, owner };
}

/** Another program dials and registers as the machine, under the same key. */
function claim(scene: PoolScene, fields: object = {}): Machine {
  const other = scene.dial("mac-1");
  scene.register(other, { session_id: "other", attests: true, ...fields });
  return other;
}

describe("[H11] another program that registers as a machine which has proven its key", () => {
  it.each([true, false])("takes its place only with a proof of its own, whatever it says: %s", (attests) => {
    const { scene, owner } = proven();
    const thief = claim(scene, { attests });
    expect(scene.questions).toEqual([]);
    expect(challengeOf(thief)).toMatchObject({ issued_at: scene.now });
    scene.ask();
    expect(scene.requestsOf(owner)).toHaveLength(1);
    scene.advance(20_250, owner);
    expect(thief.socket.closed).toEqual({
      reason: "notRegistered",
      detail: "another program is connected as this machine, and no proof of its key has come",
    });
    expect(owner.socket.closed).toBeNull();
    expect(scene.questions).toEqual([]);
  });

  it("keeps the pool awake until its time is up, and no longer", () => {
    const { scene, owner } = proven();
    claim(scene);
    expect(scene.pool.nextTickAt(scene.now)).toBe(scene.now + 10_001);
    scene.advance(10_250, owner);
    expect(scene.pool.nextTickAt(scene.now)).toBeNull();
  });

  it("does not while the fleet is asked either, if one that has proven it comes in meanwhile", () => {
    const scene = new PoolScene();
    const thief = claim(scene, { attests: false });
    const owner = scene.dial("mac-1");
    scene.register(owner, { attests: true });
    // It was dialed after the owner's, so that it is not replaced with it.
    const late = claim(scene, { attests: false });
    scene.admit(owner);
    expect(thief.socket.closed?.reason).toBe("superseded");
    prove(scene, owner);
    scene.admit(late);
    expect(owner.socket.closed).toBeNull();
    expect(late.socket.take("registered")).toEqual([]);
    scene.advance(20_250, owner);
    expect(late.socket.closed?.reason).toBe("notRegistered");
  });

  it("does not while the fleet is silent, in a pool that knows the machine for its own", () => {
    const { scene, mac } = expected({ attests: true });
    say(scene, mac, "succeeded");
    const thief = claim(scene);
    prove(scene, mac);
    scene.pool.fleetSilent(thief.connection, scene.now);
    expect(mac.socket.closed).toBeNull();
    prove(scene, thief, SELF_SIGNED, "other");
    scene.pool.fleetSilent(thief.connection, scene.now);
    expect(mac.socket.closed?.reason).toBe("superseded");
  });

  it("is put to the fleet as soon as it has proven it, and then replaces the older socket", () => {
    const { scene, owner } = proven();
    const newer = claim(scene);
    scene.heartbeat(newer, { running: 1 });
    prove(scene, newer, SELF_SIGNED, "other");
    expect(scene.questions).toEqual([newer.connection]);
    expect(owner.socket.closed).toBeNull();
    scene.admit(newer);
    expect(owner.socket.closed?.reason).toBe("superseded");
    expect(challengeOf(newer)).toBeUndefined();
    expect(scene.pool.report(scene.now, 4).machines).toMatchObject([{ trust: "self_signed", freeSlots: 1 }]);
  });

  it("does not with a wrong answer", () => {
    const { scene, owner } = proven();
    const thief = claim(scene);
    prove(scene, thief, REFUTED, "other");
    expect(scene.questions).toEqual([]);
    scene.advance(20_250, owner);
    expect(thief.socket.closed?.reason).toBe("notRegistered");
  });

  it("does not with an answer in the name of the program that it would replace", () => {
    const { scene } = proven();
    const thief = claim(scene);
    prove(scene, thief, SELF_SIGNED, "s");
    expect(scene.questions).toEqual([]);
  });

  it("may not say anything else before", () => {
    const { scene, owner } = proven();
    const thief = claim(scene);
    scene.say(thief, { type: "inference_accepted", request_id: "r", stream: 0 });
    scene.pool.receiveFrame(claim(scene).connection, new ArrayBuffer(8), scene.now);
    expect(owner.socket.closed).toBeNull();
    const again = claim(scene);
    scene.register(again, { session_id: "other" });
    expect(again.socket.closed?.reason).toBe("badMessage");
    expect(scene.questions).toEqual([]);
  });

  it("need not prove anything any more once the older socket is gone", () => {
    const { scene, owner } = proven();
    const newer = claim(scene, { attests: false });
    scene.lose(owner);
    expect(scene.questions).toEqual([newer.connection]);
    scene.admit(newer);
    scene.ask();
    expect(scene.requestsOf(newer)).toHaveLength(1);
  });

  it("is forgotten when it goes away itself", () => {
    const { scene, owner } = proven();
    const thief = claim(scene);
    scene.lose(thief);
    scene.lose(owner);
    expect(scene.questions).toEqual([]);
  });

  it("makes way for a newer one that has proven the key before it", () => {
    const { scene } = proven();
    const slow = claim(scene);
    const newer = claim(scene, { session_id: "third" });
    prove(scene, newer, SELF_SIGNED, "third");
    scene.admit(newer);
    expect(slow.socket.closed?.reason).toBe("superseded");
  });
});

describe("[H11] a newer socket replaces an older one at its register, without a proof, if", () => {
  const isAskedAtOnce = (scene: PoolScene, newer: Machine): void => {
    expect(scene.questions).toEqual([newer.connection]);
    scene.admit(newer);
    expect(scene.pool.report(scene.now, 4).machines).toHaveLength(1);
  };

  it("both are of one process, whose older one may be cut without anybody knowing", () => {
    const { scene, owner } = proven();
    isAskedAtOnce(scene, claim(scene, { session_id: "s" }));
    expect(owner.socket.closed?.reason).toBe("superseded");
  });

  it("the older one has proven nothing: programs that do not attest are as ever", () => {
    const scene = new PoolScene();
    scene.join("mac-1");
    scene.questions.length = 0;
    const newer = claim(scene, { attests: false });
    expect(challengeOf(newer)).toBeUndefined();
    isAskedAtOnce(scene, newer);
  });

  it("the older one's proof is too old to count", () => {
    const { scene, owner } = proven();
    scene.now += 600_000;
    owner.socket.pongAt = scene.now;
    isAskedAtOnce(scene, claim(scene));
  });

  it("the older one has been silent for a minute", () => {
    const { scene } = proven();
    scene.now += 60_001;
    isAskedAtOnce(scene, claim(scene));
  });

  it("the newer one shows another key, since the fleet closes it then (H22)", () => {
    const { scene } = proven();
    const stranger = claim(scene, { public_key: "foreign" });
    expect(scene.questions).toEqual([stranger.connection]);
  });
});

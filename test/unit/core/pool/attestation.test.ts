import { describe, expect, it } from "vitest";

import type { ProofVerdict, TrustLevel } from "../../../../core/pool/attestation.ts";
import { INITIAL_SETTINGS, type PoolFlags } from "../../../../core/pool/settings.ts";
import type { Message } from "./fake-socket.ts";
import { PoolScene, type Machine } from "./pool-scene.ts";

const MINUTE = 60_000;
const SELF_SIGNED: ProofVerdict = { level: "self_signed", problem: null };
const HARDWARE: ProofVerdict = { level: "hardware", problem: null };

function challengeOf(machine: Machine): Message | undefined {
  return machine.socket.take("attestation_challenge").at(-1);
}

/** Answers a challenge, whatever the answer is worth. */
function answer(
  scene: PoolScene,
  machine: Machine,
  challenge: Message | undefined,
  fields: object = {},
): void {
  const status = JSON.stringify({ machine_id: machine.connection.identity.machineId, session_id: "s" });
  const nonce = challenge?.["nonce"];
  scene.say(machine, { type: "attestation_response", nonce, signature: "c2ln", status, ...fields });
}

/** The shell's word on the answer that it was given last. */
function judge(scene: PoolScene, verdict: ProofVerdict): void {
  const last = scene.proofs.at(-1);
  if (last === undefined) throw new Error("nothing was given to check");
  scene.pool.judged(last.connection, last.proof.nonce, verdict, scene.now);
}

function prove(scene: PoolScene, machine: Machine, verdict: ProofVerdict): void {
  answer(scene, machine, challengeOf(machine));
  judge(scene, verdict);
}

function trustOf(scene: PoolScene): { trust: TrustLevel; trustProblem: string | null } | undefined {
  return scene.pool.report(scene.now, 4).machines[0];
}

/** A fleet that demands a level. */
function demanding(level: TrustLevel): PoolScene {
  const scene = new PoolScene();
  scene.flags({ min_trust_level: level });
  return scene;
}

describe("challenges", () => {
  it("are sent to a machine that says it answers them, when it registers and then every five minutes", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { attests: true });
    const first = challengeOf(mac);
    expect(first).toMatchObject({ issued_at: scene.now });
    scene.now += 5 * MINUTE - 1;
    scene.heartbeat(mac);
    expect(challengeOf(mac)).toBeUndefined();
    scene.now += 1;
    scene.heartbeat(mac);
    const second = challengeOf(mac);
    expect(second).toMatchObject({ issued_at: scene.now });
    expect(second?.["nonce"]).not.toBe(first?.["nonce"]);
  });

  it("are sent again at once when the clock has been set back: nobody knows how old the last proof is", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { attests: true });
    prove(scene, mac, SELF_SIGNED);
    scene.now -= 10 * MINUTE;
    scene.heartbeat(mac);
    expect(challengeOf(mac)).toMatchObject({ issued_at: scene.now });
    scene.heartbeat(mac);
    expect(challengeOf(mac)).toBeUndefined();
  });

  it("are sent to all others only while the fleet demands a trust level", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.heartbeat(mac);
    expect(challengeOf(mac)).toBeUndefined();
    scene.flags({ min_trust_level: "self_signed" });
    expect(challengeOf(mac)).toBeDefined();
    scene.flags({ min_trust_level: "none" });
    scene.now += 5 * MINUTE;
    scene.heartbeat(mac);
    expect(challengeOf(mac)).toBeUndefined();
  });

  it("are not repeated with each heartbeat while one is unanswered, and not after hibernation", () => {
    const scene = demanding("self_signed");
    const mac = scene.join("mac-1");
    expect(challengeOf(mac)).toBeDefined();
    scene.heartbeat(mac);
    expect(challengeOf(mac)).toBeUndefined();
    const { scene: awake, machines } = scene.sleep(mac);
    awake.flags({ min_trust_level: "self_signed" });
    for (const machine of machines) awake.heartbeat(machine);
    expect(challengeOf(mac)).toBeUndefined();
  });
});

describe("answers", () => {
  it("go to be checked with the key of this very socket and the challenge as it was sent", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { attests: true, public_key: "the key" });
    const challenge = challengeOf(mac);
    answer(scene, mac, challenge, { certificate_chain: ["leaf"] });
    expect(scene.proofs).toEqual([
      {
        connection: mac.connection,
        proof: {
          nonce: challenge?.["nonce"],
          issuedAt: challenge?.["issued_at"],
          publicKey: "the key",
          signature: "c2ln",
          status: '{"machine_id":"mac-1","session_id":"s"}',
          certificate_chain: ["leaf"],
        },
      },
    ]);
  });

  it("count once, for the open challenge only; the rest is dropped and counted", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { attests: true });
    const challenge = challengeOf(mac);
    answer(scene, mac, challenge, { nonce: "another" });
    expect(scene.proofs).toEqual([]);
    answer(scene, mac, challenge);
    answer(scene, mac, challenge);
    judge(scene, SELF_SIGNED);
    answer(scene, mac, challenge);
    expect(scene.proofs).toHaveLength(1);
    expect(scene.pool.report(scene.now, 4).ignored.messages).toBe(3);
    expect(trustOf(scene)?.trust).toBe("self_signed");
  });

  it.each([
    ["no JSON", "nothing"],
    ["no object", "[]"],
    ["another machine's", '{"machine_id":"mac-2","session_id":"s"}'],
    ["another session's", '{"machine_id":"mac-1","session_id":"t"}'],
  ])("whose status is %s prove nothing", (_, status) => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { attests: true });
    answer(scene, mac, challengeOf(mac), { status });
    expect(scene.proofs).toEqual([]);
    expect(trustOf(scene)).toMatchObject({
      trust: "none",
      trustProblem: "the status it signed is not about this machine and this run of its provider",
    });
  });

  it("that are judged after the next challenge has gone out count for nothing", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { attests: true });
    answer(scene, mac, challengeOf(mac));
    scene.now += 5 * MINUTE;
    scene.heartbeat(mac);
    judge(scene, HARDWARE);
    expect(trustOf(scene)?.trust).toBe("none");
    prove(scene, mac, SELF_SIGNED);
    expect(trustOf(scene)?.trust).toBe("self_signed");
  });

  it("that are wrong take the level away at once", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { attests: true });
    prove(scene, mac, HARDWARE);
    expect(trustOf(scene)).toMatchObject({ trust: "hardware", trustProblem: null });
    scene.now += 5 * MINUTE;
    scene.heartbeat(mac);
    expect(trustOf(scene)?.trust).toBe("hardware");
    prove(scene, mac, { level: "none", problem: "its signature does not fit" });
    expect(trustOf(scene)).toMatchObject({ trust: "none", trustProblem: "its signature does not fit" });
  });

  it("count for ten minutes from their challenge on", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { attests: true });
    const sentAt = scene.now;
    prove(scene, mac, SELF_SIGNED);
    scene.now = sentAt + 10 * MINUTE - 1;
    expect(trustOf(scene)?.trust).toBe("self_signed");
    scene.now += 1;
    expect(trustOf(scene)?.trust).toBe("none");
  });

  it("[F4] of an earlier socket prove nothing about the next one", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { attests: true });
    prove(scene, mac, HARDWARE);
    const again = scene.join("mac-1", { attests: true });
    expect(trustOf(scene)?.trust).toBe("none");
    expect(challengeOf(again)).toBeDefined();
  });

  it("outlast hibernation with their socket", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { attests: true });
    prove(scene, mac, HARDWARE);
    const { scene: awake } = scene.sleep(mac);
    expect(trustOf(awake)?.trust).toBe("hardware");
  });
});

describe("the demanded level", () => {
  it.each([
    ["none", "none", true],
    ["self_signed", "none", false],
    ["self_signed", "self_signed", true],
    ["self_signed", "hardware", true],
    ["hardware", "self_signed", false],
    ["hardware", "hardware", true],
  ] as const)("%s is met by %s: %s", (demanded, level, isMet) => {
    const scene = demanding(demanded);
    const mac = scene.join("mac-1", { attests: true });
    prove(scene, mac, { level, problem: null });
    const client = scene.ask();
    expect(scene.requestsOf(mac)).toHaveLength(isMet ? 1 : 0);
    expect(client.refusedWith).toBe(isMet ? null : "pool_exhausted");
    expect(scene.pool.report(scene.now, 4).machines[0]?.blockedBy).toBe(isMet ? null : "below_trust_level");
  });

  it("does not keep an owner from the own machine", () => {
    const scene = demanding("hardware");
    const mac = scene.join("mac-1");
    prove(scene, mac, SELF_SIGNED);
    const machines = new Set([mac.connection.identity.machineId]);
    scene.ask({ owner: { otherwise: "wait", machines, isSwitching: false } });
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("lets requests wait for a machine that was just asked, and sends them when it has proven itself", () => {
    const scene = demanding("self_signed");
    const mac = scene.join("mac-1");
    const client = scene.ask();
    expect(client.refusedWith).toBeNull();
    answer(scene, mac, challengeOf(mac));
    expect(scene.requestsOf(mac)).toHaveLength(0);
    judge(scene, SELF_SIGNED);
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("lets them wait no longer once it has failed to, or has said nothing for a while", () => {
    const scene = demanding("self_signed");
    const mac = scene.join("mac-1");
    const failed = scene.ask();
    prove(scene, mac, { level: "none", problem: "p" });
    expect(failed.refusedWith).toBe("pool_exhausted");

    const silent = demanding("self_signed");
    const other = silent.join("mac-1");
    const waiting = silent.ask();
    silent.advance(4_750, other);
    expect(silent.ask().refusedWith).toBeNull();
    expect(waiting.refusedWith).toBeNull();
    silent.advance(250, other);
    expect(waiting.refusedWith).toBe("pool_exhausted");
    expect(silent.ask().refusedWith).toBe("pool_exhausted");
  });

  it("lets them wait no longer once it has signed a status of another session", () => {
    const scene = demanding("self_signed");
    const mac = scene.join("mac-1");
    const client = scene.ask();
    answer(scene, mac, challengeOf(mac), { status: "{}" });
    expect(client.refusedWith).toBe("pool_exhausted");
  });

  it("keeps them waiting when one machine has failed to prove itself and another may yet", () => {
    const scene = demanding("self_signed");
    const mac = scene.join("mac-1");
    const other = scene.join("mac-2");
    const client = scene.ask();
    prove(scene, mac, { level: "none", problem: "p" });
    expect(client.refusedWith).toBeNull();
    prove(scene, other, SELF_SIGNED);
    expect(scene.requestsOf(other)).toHaveLength(1);
  });

  it("lets nobody wait for the return of a machine that has not proven it", () => {
    const scene = demanding("self_signed");
    const mac = scene.join("mac-1");
    const other = scene.join("mac-2");
    prove(scene, mac, { level: "none", problem: "p" });
    scene.lose(mac);
    scene.lose(other);
    expect(scene.ask().refusedWith).toBe("pool_exhausted");
    const proven = scene.join("mac-3");
    prove(scene, proven, SELF_SIGNED);
    scene.lose(proven);
    expect(scene.ask().refusedWith).toBeNull();
  });

  it("lets nobody wait again for a machine that has left a challenge unanswered", () => {
    const scene = demanding("self_signed");
    const mac = scene.join("mac-1");
    expect(challengeOf(mac)).toBeDefined();
    scene.now += 5 * MINUTE;
    scene.heartbeat(mac);
    expect(challengeOf(mac)).toBeDefined();
    expect(scene.pool.report(scene.now, 4).isExpectingMachines).toBe(false);
    expect(scene.ask().refusedWith).toBe("pool_exhausted");
  });

  it("lets requests wait for a machine that was asked just before the level was raised", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { attests: true });
    scene.flags({ min_trust_level: "self_signed" });
    const client = scene.ask();
    expect(client.refusedWith).toBeNull();
    prove(scene, mac, SELF_SIGNED);
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("is none where the fleet, of an older version, tells the pool of none", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const flags: Partial<PoolFlags> = { ...INITIAL_SETTINGS.flags };
    delete flags.min_trust_level;
    scene.pool.configure({ ...INITIAL_SETTINGS, version: 1, flags: flags as PoolFlags }, scene.now);
    scene.ask();
    expect(scene.requestsOf(mac)).toHaveLength(1);
    expect(challengeOf(mac)).toBeUndefined();
  });

  it("stops new requests when a proof has lapsed, and what runs goes on", () => {
    const scene = demanding("self_signed");
    const mac = scene.join("mac-1");
    prove(scene, mac, SELF_SIGNED);
    scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.bytes(sent, "a");
    for (let minute = 0; minute < 11; minute++) {
      scene.now += MINUTE;
      scene.heartbeat(mac);
      scene.bytes(sent, "b");
    }
    expect(scene.ask().refusedWith).toBe("pool_exhausted");
    scene.finish(sent);
    expect(scene.outcomes()).toEqual({ ok: 1, pool_exhausted: 1 });
  });

  it("counts at once when it is raised: whoever has proven it already serves on", () => {
    const scene = new PoolScene();
    const proven = scene.join("mac-1", { attests: true });
    const other = scene.join("mac-2");
    prove(scene, proven, SELF_SIGNED);
    scene.flags({ min_trust_level: "self_signed" });
    scene.ask();
    scene.ask();
    expect(scene.requestsOf(proven)).toHaveLength(2);
    expect(scene.requestsOf(other)).toHaveLength(0);
  });

  it("is still in force after hibernation", () => {
    const scene = demanding("self_signed");
    const mac = scene.join("mac-1");
    prove(scene, mac, { level: "none", problem: "p" });
    const { scene: awake, machines } = scene.sleep(mac);
    awake.flags({ min_trust_level: "self_signed" });
    expect(awake.ask().refusedWith).toBe("pool_exhausted");
    for (const machine of machines) expect(awake.requestsOf(machine)).toHaveLength(0);
  });
});

it("a machine that was let in while the fleet began to demand a proof gets no request before it has given one", () => {
  const scene = new PoolScene();
  const mac = scene.dial("mac-1");
  scene.register(mac);
  scene.flags({ min_trust_level: "self_signed" });
  scene.admit(mac);
  scene.ask();
  expect(scene.requestsOf(mac)).toEqual([]);
  expect(scene.pool.report(scene.now, 4).machines).toMatchObject([{ blockedBy: "below_trust_level" }]);
});

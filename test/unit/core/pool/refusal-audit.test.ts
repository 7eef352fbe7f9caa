import { describe, expect, it } from "vitest";

import type { ApiErrorCode } from "../../../../core/api-error.ts";
import type { Connection } from "../../../../core/pool/connection.ts";
import { AUDITED, RefusalAudit, WRONGLY_REFUSED } from "../../../../core/pool/refusal-audit.ts";
import { INITIAL_SETTINGS } from "../../../../core/pool/settings.ts";
import { Totals } from "../../../../core/pool/totals.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";
import { MODEL, PoolScene } from "./pool-scene.ts";

/** An audit over the machines of a scene, and a request that was refused there. */
function auditOf(scene: PoolScene, connections: readonly Connection[]) {
  const totals = new Totals([]);
  const audit = new RefusalAudit({ model: MODEL, connections: () => connections }, totals);
  const { request } = scene.ask();
  return {
    totals,
    refuse: (code: ApiErrorCode, at = 0) => audit.refused(code, request, scene.now + at),
    request,
  };
}

describe("whether a refusal was true", () => {
  it("is asked of every machine: one that has room makes it wrong", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 2 });
    const { totals, refuse } = auditOf(scene, [mac.connection]);
    refuse("queue_full");
    expect([totals.get(AUDITED), totals.get(`${WRONGLY_REFUSED}queue_full`)]).toEqual([1, 1]);
    // The request that has come meanwhile takes the second slot.
    scene.ask();
    refuse("queue_full", 100);
    expect([totals.get(AUDITED), totals.get(`${WRONGLY_REFUSED}queue_full`)]).toEqual([2, 1]);
  });

  it("forgives a pool the machines that have failed the request already", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 2 });
    const { totals, refuse, request } = auditOf(scene, [mac.connection]);
    request.tried.add(machineIdSchema.parse("mac-1"));
    refuse("queue_timeout");
    expect(totals.get(`${WRONGLY_REFUSED}queue_timeout`)).toBe(0);
  });

  it("is asked ten times a second at most", () => {
    const scene = new PoolScene();
    const { totals, refuse } = auditOf(scene, []);
    for (let at = 0; at < 1_000; at += 10) refuse("pool_exhausted", at);
    expect(totals.get(AUDITED)).toBe(10);
    expect(totals.get(`${WRONGLY_REFUSED}pool_exhausted`)).toBe(0);
  });

  it.each(["ttft_too_slow", "model_shed", "provider_error", "context_length_exceeded"] as const)(
    "is not asked after %s, which no room would help",
    (code) => {
      const scene = new PoolScene();
      const { totals, refuse } = auditOf(scene, [scene.join("mac-1").connection]);
      refuse(code);
      expect(totals.get(AUDITED)).toBe(0);
    },
  );

  it("holds in a pool: those without a machine, with a full line and after the wait were true", () => {
    const scene = new PoolScene();
    expect(scene.ask().refusedWith).toBe("model_unavailable");
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    const { queue_max, queue_wait_ms } = INITIAL_SETTINGS.flags;
    for (let i = 0; i <= queue_max; i++) scene.ask();
    scene.now += 100;
    expect(scene.ask().refusedWith).toBe("queue_full");
    scene.now += queue_wait_ms;
    scene.pool.tick(scene.now);
    expect(scene.outcomes()).toMatchObject({ queue_timeout: queue_max });
    expect(scene.requestsOf(mac)).toHaveLength(1);
    const { totals } = scene.pool.ledger;
    expect(totals.get(AUDITED)).toBe(3);
    expect([...totals.all()].filter(([name]) => name.startsWith(WRONGLY_REFUSED))).toEqual([]);
  });
});

import { describe, expect, it } from "vitest";

import { ModelHolder } from "../../provider/src/agent/model-holder.ts";
import { EngineError, type LocalModel } from "../../provider/src/engine.ts";
import { FakeEngine } from "../support/fake-engine.ts";
import { settle, VirtualClock } from "../support/virtual-clock.ts";

const model = (id: string): LocalModel => ({ id, path: `/models/${id}.gguf`, sizeBytes: 1 });
const [alpha, beta, gamma] = [model("alpha"), model("beta"), model("gamma")];

function setUp(): { engine: FakeEngine; holder: ModelHolder; failures: string[]; steps: number[] } {
  const engine = new FakeEngine();
  engine.holdLoads = true;
  const failures: string[] = [];
  const steps: number[] = [];
  const log = (): void => {};
  const holder = new ModelHolder(
    { slots: 2, contextTokens: 512 },
    {
      onChange: () => {},
      onProgress: (progress) => steps.push(progress),
      onLoadFailed: ({ id }, error) => failures.push(`${id} ${error.code}`),
      onDied: ({ id }) => failures.push(`${id} died`),
    },
    { clock: new VirtualClock(), engine, log: { info: log, warn: log, error: log } },
  );
  return { engine, holder, failures, steps };
}

/** What became of a load: the model's id, or the code of the error. */
async function outcome(load: ReturnType<ModelHolder["hold"]>): Promise<string> {
  try {
    return (await load).model.id;
  } catch (error) {
    return error instanceof EngineError ? error.code : String(error);
  }
}

describe("one model at a time", () => {
  it("unloads the old one completely before it loads the new one", async () => {
    const { engine, holder } = setUp();
    const first = holder.hold(alpha);
    await settle();
    engine.lastLoad().succeed();
    await first;
    const second = holder.hold(beta);
    await settle();
    engine.lastLoad().succeed();
    expect(await outcome(second)).toBe("beta");
    expect(engine.events).toEqual(["load alpha", "ready alpha", "unload alpha", "load beta", "ready beta"]);
  });

  it("hears nothing more of the progress of a load that was given up", async () => {
    const { engine, holder, steps } = setUp();
    const first = outcome(holder.hold(alpha));
    await settle();
    const load = engine.lastLoad();
    load.options.onProgress?.(0.4);
    expect(holder.progress()).toBe(0.4);
    load.ignoresAbort = true;
    const second = outcome(holder.hold(beta));
    load.options.onProgress?.(0.7);
    expect(holder.progress()).toBe(0);
    expect(steps).toEqual([0.4]);
    load.succeed();
    await settle();
    engine.lastLoad().succeed();
    expect(await Promise.all([first, second])).toEqual(["switching_model", "beta"]);
  });

  it("does nothing for the model that is there, and joins the load that is under way", async () => {
    const { engine, holder } = setUp();
    const [one, two] = [holder.hold(alpha), holder.hold(alpha)];
    await settle();
    engine.lastLoad().succeed();
    expect(await outcome(one)).toBe("alpha");
    expect(await two).toBe(await one);
    expect(await holder.hold(alpha)).toBe(await one);
    expect(engine.loads).toHaveLength(1);
  });
});

describe("[F14] a load that another one has overtaken", () => {
  it("is aborted, and the newer one begins when it is over", async () => {
    const { engine, holder, failures } = setUp();
    const first = holder.hold(alpha);
    await settle();
    const second = holder.hold(beta);
    expect(await outcome(first)).toBe("switching_model");
    await settle();
    engine.lastLoad().succeed();
    expect(await outcome(second)).toBe("beta");
    expect(failures).toEqual([]);
    expect(holder.holding()).toMatchObject({ status: "loaded", loaded: { model: beta } });
  });

  it("frees what it has loaded although it was aborted, before the newer one begins", async () => {
    const { engine, holder } = setUp();
    const first = outcome(holder.hold(alpha));
    await settle();
    engine.lastLoad().ignoresAbort = true;
    const second = holder.hold(beta);
    await settle();
    expect(engine.events).toEqual(["load alpha"]);
    engine.lastLoad().succeed();
    expect(await first).toBe("switching_model");
    await settle();
    expect(engine.events).toEqual(["load alpha", "ready alpha", "unload alpha", "load beta"]);
    engine.lastLoad().succeed();
    expect(await outcome(second)).toBe("beta");
  });

  it("never begins if it was overtaken while the model before it was being unloaded", async () => {
    const { engine, holder } = setUp();
    const first = holder.hold(alpha);
    await settle();
    engine.lastLoad().succeed();
    await first;
    const [second, third] = [outcome(holder.hold(beta)), holder.hold(gamma)];
    expect(await second).toBe("switching_model");
    await settle();
    engine.lastLoad().succeed();
    expect(await outcome(third)).toBe("gamma");
    expect(engine.loads.map((load) => load.model.id)).toEqual(["alpha", "gamma"]);
    expect(engine.events.filter((event) => event.startsWith("unload"))).toEqual(["unload alpha"]);
  });
});

describe("releasing", () => {
  it("waits until the memory is free", async () => {
    const { engine, holder } = setUp();
    const load = outcome(holder.hold(alpha));
    await settle();
    engine.lastLoad().ignoresAbort = true;
    let isFree = false;
    const release = async (): Promise<void> => {
      await holder.release("test");
      isFree = true;
    };
    void release();
    await settle();
    expect(isFree).toBe(false);
    engine.lastLoad().succeed();
    expect(await load).toBe("switching_model");
    await settle();
    expect(isFree).toBe(true);
    expect(engine.events.at(-1)).toBe("unload alpha");
  });

  it("is harmless when nothing is held", async () => {
    const { engine, holder } = setUp();
    await holder.release("test");
    expect(engine.events).toEqual([]);
  });
});

it("reports a failed load once, and holds nothing then", async () => {
  const { engine, holder, failures } = setUp();
  const load = outcome(holder.hold(alpha));
  await settle();
  engine.lastLoad().fail();
  expect(await load).toBe("load_failed");
  expect(failures).toEqual(["alpha load_failed"]);
  expect(holder.holding()).toEqual({ status: "empty" });
});

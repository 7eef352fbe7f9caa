import { AgentHarness, type FakeSocket, type HarnessOptions } from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";

/** Machines that may be given orders, as the tests of assignments need them. */

export const MODELS = ["alpha", "beta", "gamma"];

/** An unmanaged machine that has alpha loaded, with a socket in alpha and one in beta. */
export async function inTwoPools(
  options: HarnessOptions = {},
): Promise<{ harness: AgentHarness; alpha: FakeSocket; beta: FakeSocket }> {
  const harness = new AgentHarness({ models: MODELS, ...options });
  const alpha = await harness.connected(["alpha", "beta"]);
  const beta = harness.socket();
  beta.register({ pool: "beta", pools: ["alpha", "beta"] });
  await harness.clock.advance(1000);
  return { harness, alpha, beta };
}

/** The same, holding beta by epoch 5. */
export async function holdingBeta(): Promise<{ harness: AgentHarness; alpha: FakeSocket; beta: FakeSocket }> {
  const life = await inTwoPools();
  life.beta.assign("beta", 5, { pools: ["alpha", "beta"] });
  await settle();
  return life;
}

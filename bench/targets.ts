import { Bare } from "./support/bare.ts";
import type { Target } from "./support/chat.ts";
import { Coordinator } from "./support/coordinator.ts";
import { startUpstream } from "./support/mock-upstream.ts";
import { freePort } from "./support/processes.ts";
import { nginxVersion, startNginx, startPortkey } from "./support/references.ts";

/** What is compared: the mock itself, the three servers, each with the same mock behind it, and what the platform costs by itself. */
export interface Targets {
  readonly direct: Target;
  readonly coordinator: Coordinator;
  readonly bare: Bare;
  readonly portkey: Target;
  /** Null if it is not installed. */
  readonly nginx: Target | null;
}

export async function startTargets(): Promise<Targets> {
  const upstreamPort = await freePort();
  const upstream = `http://127.0.0.1:${upstreamPort}`;
  await startUpstream(upstreamPort);
  const coordinator = await Coordinator.start();
  const portkeyHeaders = {
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": `${upstream}/v1`,
    authorization: "Bearer none",
  };
  return {
    direct: { name: "the mock", url: upstream, pid: null, headers: {} },
    coordinator,
    bare: await Bare.start(),
    portkey: { name: "Portkey", headers: portkeyHeaders, ...(await startPortkey()) },
    nginx:
      nginxVersion() === null ? null : { name: "nginx", headers: {}, ...(await startNginx(upstreamPort)) },
  };
}

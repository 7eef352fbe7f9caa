import type { AdminClient } from "./admin-client.ts";
import type { DemoFlags } from "./demo-flags.ts";

/** What the acts of the demo need of the coordinator that they show. */
export interface DemoStage {
  readonly admin: AdminClient;
  readonly flags: DemoFlags;
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly print: (line: string) => void;
}

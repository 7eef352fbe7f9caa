import type { Hooks } from "./hooks.ts";
import { CancelledSwitchUnloads, OlderOrdersObeyed } from "./mutations/of-a-machine.ts";
import {
  CordonsOfSockets,
  DeadlinesNeverEnd,
  ExpectedStaysRoutable,
  HeartbeatRevives,
  LastWordCounts,
  NoReloadAfterRegister,
  OldCallsObeyed,
  PrivateServesAll,
  RecordsForgotten,
  ReservedServesAll,
  StampsIgnored,
  StatusesFitted,
  StoppingServesOn,
  UpgradeSupersedes,
} from "./mutations/of-a-pool.ts";
import {
  AnybodysMachine,
  DeletedAtOnce,
  ExpectBeforeRelease,
  ManagedComesBackUnmanaged,
  OrderBeforeExpect,
  ReleaseOnlyTheConnected,
  SilenceIsConsent,
  UnreadOrdersLeft,
} from "./mutations/of-the-fleet.ts";

/**
 * Mutation testing of the handover: each mutation disables one rule from outside, by changing what a part receives or by
 * patching a method for the length of a run. A simulation that does not notice would prove nothing, so a test plays seeds
 * with each mutation until an invariant fails.
 */
export const MUTATIONS: Readonly<Record<string, () => Hooks>> = {
  cordon: () => new CordonsOfSockets(),
  "cordon-order": () => new LastWordCounts(),
  F3: () => new StatusesFitted(),
  F14: () => new CancelledSwitchUnloads(),
  C17: () => new PrivateServesAll(),
  D1: () => new RecordsForgotten(),
  D2: () => new ManagedComesBackUnmanaged(),
  "D1-unread": () => new UnreadOrdersLeft(),
  H1: () => new ReleaseOnlyTheConnected(),
  "H1-deleted": () => new DeletedAtOnce(),
  H21: () => new ReservedServesAll(),
  H22: () => new AnybodysMachine(),
  "H1-order": () => new ExpectBeforeRelease(),
  H2: () => new StampsIgnored(),
  H3: () => new SilenceIsConsent(),
  H4: () => new OldCallsObeyed(),
  H5: () => new ExpectedStaysRoutable(),
  H6: () => new OrderBeforeExpect(),
  H9: () => new OlderOrdersObeyed(),
  H11: () => new UpgradeSupersedes(),
  H12: () => new StoppingServesOn(),
  H13: () => new DeadlinesNeverEnd(),
  H14: () => new NoReloadAfterRegister(),
  H15: () => new HeartbeatRevives(),
};

import type { Registered } from "../../protocol/downstream.ts";
import type { ModelId } from "../../protocol/ids.ts";
import type { Register } from "../../protocol/upstream.ts";
import type { Identity } from "./connection.ts";
import type { CordonWord } from "./cordons.ts";
import type { Stamp } from "./record.ts";

/** A pool's question to the fleet about a machine that registers, and the possible answers. */

export interface AdmissionQuestion {
  readonly identity: Identity;
  readonly register: Register;
  /** The pool that asks. */
  readonly pool: ModelId;
}

export type Admission =
  | ({
      readonly admitted: true;
      readonly stamp: Stamp;
      /** Every pool the machine should hold a socket to. */
      readonly pools: readonly ModelId[];
      /** What it should hold; an order like any other (H8). */
      readonly assignment: Registered["assignment"];
      readonly publicKey: string;
    } & CordonWord)
  | { readonly admitted: false; readonly close: AdmissionClose };

export type AdmissionClose = "foreignKey" | "notAllowed" | "tooOld" | "badMessage" | "restart";

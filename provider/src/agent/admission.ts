import type { InferenceRequest } from "../../../protocol/downstream.ts";
import { CHAT_ENDPOINT, EMBEDDINGS_ENDPOINT } from "../../../protocol/endpoints.ts";
import { isTooDeep } from "../../../protocol/json-depth.ts";
import type { CAPACITY_CODES } from "../../../protocol/upstream.ts";
import type { LoadedModel } from "../engine.ts";
import type { DutyView } from "./duty.ts";
import type { Holding } from "./model-holder.ts";
import type { OfferedModel } from "./ports.ts";

/**
 * Whether a request may run on this machine, decided before it is accepted (D3), because until then the coordinator can
 * try another machine at no cost to the client. An unmanaged machine serves any of its models, but swaps only while
 * nothing runs (H12). A managed one serves the assigned model and swaps only for a request of its owner (H21).
 */

export interface AdmissionView {
  readonly isStopping: boolean;
  /** Its owner has reserved it for now. */
  readonly isReserved: boolean;
  /** The requested model; undefined if this machine does not offer it now. */
  readonly model: OfferedModel | undefined;
  readonly duty: DutyView;
  readonly holding: Holding;
  /** Requests that the engine is at work on. */
  readonly running: number;
  /** Requests that have a slot, whether they run or wait for their model. */
  readonly held: number;
  readonly slots: number;
}

export type Admission =
  | { readonly verdict: "run"; readonly loaded: LoadedModel }
  /** Run once the model is loaded; joins a load that is under way. */
  | { readonly verdict: "load"; readonly model: OfferedModel }
  /** The same, and then the assigned model comes back. */
  | { readonly verdict: "visit"; readonly model: OfferedModel }
  | Refusal;

type Refusal =
  | {
      readonly verdict: "refuse";
      readonly class: "capacity";
      readonly code: (typeof CAPACITY_CODES)[number];
      readonly message: string;
    }
  | {
      readonly verdict: "refuse";
      readonly class: "client";
      readonly code: "unsupported" | "invalid_request";
      readonly message: string;
    };

export function admit(request: InferenceRequest, view: AdmissionView): Admission {
  if (view.isStopping) return atCapacity("stopping", "this machine is stopping");
  // It was sent before the pool had heard, or by one that does not know the word.
  if (view.isReserved && !request.owner_bypass) {
    return atCapacity("no_free_slot", "the owner of this machine has reserved it for now");
  }
  const isChat = request.endpoint === CHAT_ENDPOINT;
  if (!isChat && request.endpoint !== EMBEDDINGS_ENDPOINT) {
    return byClient("unsupported", `this machine serves ${CHAT_ENDPOINT} and ${EMBEDDINGS_ENDPOINT} only`);
  }
  if (isChat && !Array.isArray(request.body["messages"])) {
    return byClient("invalid_request", "messages must be an array");
  }
  if (isTooDeep(request.body)) {
    return byClient("invalid_request", "lists and objects are nested too deeply");
  }
  const { model } = view;
  if (model === undefined) return atCapacity("not_assigned_model", "this machine does not offer that model");
  return view.duty.phase === "unmanaged" ? admitToModel(model, view) : admitManaged(request, model, view);
}

function admitManaged(request: InferenceRequest, model: OfferedModel, view: AdmissionView): Admission {
  const { phase, assigned, visited } = view.duty;
  switch (phase) {
    case "unmanaged":
    case "draining":
    case "loading":
      return atCapacity("switching_model", `this machine switches to ${assigned ?? "another model"}`);
    case "failed":
      return atCapacity("not_assigned_model", `this machine could not hold ${assigned ?? "its model"}`);
    case "serving":
      if (model.id === assigned) return admitToLoaded(model, view);
      if (request.owner_bypass) return admitToVisit(model, view);
      return atCapacity("not_assigned_model", `this machine holds ${assigned ?? "another model"}`);
    case "visiting":
      if (request.owner_bypass && model.id === visited) return admitToVisit(model, view);
      return atCapacity("switching_model", "this machine serves its owner");
  }
}

function admitToLoaded(model: OfferedModel, { holding, held, slots }: AdmissionView): Admission {
  if (holding.status !== "loaded" || holding.loaded.model.id !== model.id) {
    return atCapacity("switching_model", `this machine is loading ${model.id}`);
  }
  return held < slots ? { verdict: "run", loaded: holding.loaded } : noFreeSlot(held, slots);
}

/** Requests that run on the assigned model are not counted: they are drained before the other model is loaded. */
function admitToVisit(model: OfferedModel, view: AdmissionView): Admission {
  const { holding, held, running, slots } = view;
  if (holding.status === "loaded" && holding.loaded.model.id === model.id) return admitToLoaded(model, view);
  return held - running < slots ? { verdict: "visit", model } : noFreeSlot(held - running, slots);
}

function admitToModel(model: OfferedModel, { holding, held, slots }: AdmissionView): Admission {
  switch (holding.status) {
    case "empty":
      return held < slots ? { verdict: "load", model } : noFreeSlot(held, slots);
    case "loading":
      if (holding.model.id !== model.id) {
        return atCapacity("switching_model", `this machine is loading ${holding.model.id}`);
      }
      return held < slots ? { verdict: "load", model } : noFreeSlot(held, slots);
    case "loaded":
      if (holding.loaded.model.id === model.id) {
        return held < slots ? { verdict: "run", loaded: holding.loaded } : noFreeSlot(held, slots);
      }
      return held === 0 ? { verdict: "load", model } : noFreeSlot(held, slots);
  }
}

function noFreeSlot(held: number, slots: number): Refusal {
  return atCapacity("no_free_slot", `${held} of ${slots} slots are taken`);
}

function atCapacity(code: (typeof CAPACITY_CODES)[number], message: string): Refusal {
  return { verdict: "refuse", class: "capacity", code, message };
}

function byClient(code: "unsupported" | "invalid_request", message: string): Refusal {
  return { verdict: "refuse", class: "client", code, message };
}

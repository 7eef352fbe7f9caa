import { describe, expect, it } from "vitest";

import { classifyProviderError, providerFault, SOCKET_LOST } from "../../../../core/pool/failure.ts";
import { CAPACITY_CODES, type ErrorClass } from "../../../../protocol/upstream.ts";

function classify(errorClass: ErrorClass, code: string) {
  const message = "what the engine said";
  return classifyProviderError(
    { type: "inference_error", request_id: "req_1", stream: 1, class: errorClass, code, message },
    false,
  );
}

describe("[F15] the one classifier", () => {
  it.each([...CAPACITY_CODES, "anything"])("takes capacity/%s for nobody's fault and tries again", (code) => {
    expect(classify("capacity", code)).toMatchObject({
      error: { code: "queue_timeout" },
      retriable: true,
      blamesMachine: false,
    });
  });

  it.each([
    ["context_length_exceeded", "context_length_exceeded"],
    ["unsupported", "unsupported"],
    ["bad_grammar", "invalid_request"],
    // Codes of ours that a provider must not be able to choose.
    ["internal", "invalid_request"],
    ["queue_full", "invalid_request"],
  ])("gives client/%s back as %s, in the engine's words, and tries no other machine", (code, told) => {
    expect(classify("client", code)).toEqual({
      error: { code: told, message: "what the engine said" },
      retriable: false,
      blamesMachine: false,
    });
  });

  it.each([
    ["fault", "engine_crashed"],
    ["cancelled", "cancelled"],
  ] as const)("blames the machine for %s/%s and tries another", (errorClass, code) => {
    const failure = classify(errorClass, code);
    expect(failure).toMatchObject({
      error: { code: "provider_error" },
      retriable: true,
      blamesMachine: true,
    });
    // What an engine says of itself is not for clients.
    expect(failure.error.message).not.toContain("what the engine said");
  });

  it("blames a machine for what it did wrong, not for a lost socket", () => {
    expect(providerFault("why")).toMatchObject({ blamesMachine: true, error: { message: "why" } });
    expect(SOCKET_LOST).toMatchObject({ retriable: true, blamesMachine: false });
  });
});

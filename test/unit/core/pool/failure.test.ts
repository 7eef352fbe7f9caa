import { describe, expect, it } from "vitest";

import { classifyProviderError, providerFault, SOCKET_LOST } from "../../../../core/pool/failure.ts";
import { CAPACITY_CODES, type ErrorClass } from "../../../../protocol/upstream.ts";

function classify(errorClass: ErrorClass, code: string, message = "what the engine said") {
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
      isRefusal: true,
    });
  });

  it.each([
    ["context_length_exceeded", "context_length_exceeded", "messages"],
    ["unsupported", "unsupported", undefined],
    ["bad_grammar", "invalid_request", undefined],
    // Codes of ours that a provider must not be able to choose.
    ["internal", "invalid_request", undefined],
    ["queue_full", "invalid_request", undefined],
  ])("gives client/%s back as %s, in the engine's words, and tries no other machine", (code, told, param) => {
    expect(classify("client", code)).toEqual({
      error: { code: told, message: "what the engine said", param },
      retriable: false,
      blamesMachine: false,
      isRefusal: false,
    });
  });

  it.each([
    ["logit_bias: is not supported", "logit_bias"],
    ["messages[2].content[0].text: is too long", "messages[2].content[0].text"],
    ["input[7]: must not be empty", "input[7]"],
    ["response_format.json_schema: has no name", "response_format.json_schema"],
    ["something is wrong: no idea", undefined],
    ["Error: no idea", undefined],
    ["n:1", undefined],
  ])("finds the field that the engine names first: %s", (message, param) => {
    expect(classify("client", "invalid_request", message).error).toEqual({
      code: "invalid_request",
      message,
      param,
    });
  });

  it("knows which of several texts is too long", () => {
    const { error } = classify("client", "context_length_exceeded", "input[7]: is too long");
    expect(error).toMatchObject({ code: "context_length_exceeded", param: "input[7]" });
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

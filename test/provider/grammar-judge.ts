import { getLlama, type Llama, type LlamaGrammar, LlamaLogLevel } from "node-llama-cpp";
import { afterAll, beforeAll } from "vitest";

type TestableGrammar = LlamaGrammar & { _testText(text: string): boolean };

/** llama.cpp itself, for the tests of a file: it says whether a grammar compiles and which texts follow it, without a model. */
export function grammarJudge(): (grammar: string) => Promise<(text: string) => boolean> {
  let llama: Llama;
  beforeAll(async () => {
    llama = await getLlama({
      build: "never",
      skipDownload: true,
      gpu: false,
      logLevel: LlamaLogLevel.disabled,
      maxThreads: 1,
    });
  });
  afterAll(async () => {
    await llama.dispose();
  });
  return async (grammar) => {
    const compiled = (await llama.createGrammar({ grammar })) as TestableGrammar;
    return (text) => compiled._testText(text);
  };
}

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { modelIdSchema } from "../../protocol/ids.ts";
import { findModels, quantizationOf } from "../../provider/src/models.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "provider-models-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Version 3, no tensors, no keys, and what follows. */
const gguf = (rest = ""): string => `GGUF\x03${"\0".repeat(19)}${rest}`;

function file(name: string, contents = gguf()): string {
  const path = join(directory, name);
  writeFileSync(path, contents);
  return path;
}

const find = (models: string[], directories: string[] = []): ReturnType<typeof findModels> =>
  findModels({ models, directories, form: "files" });

it("offers files under the ids they were given, in that order", () => {
  const b = file("b-Q4_K_M.gguf");
  const a = file("a.gguf", gguf("12"));
  expect(find([`org/beta=${b}`, `alpha=${a}`]).models).toEqual([
    { id: "org/beta", path: b, sizeBytes: 24, quantization: "q4_k_m" },
    { id: "alpha", path: a, sizeBytes: 26 },
  ]);
});

it("offers every GGUF of a directory under its file name, after those named one by one", () => {
  const one = file("one.gguf");
  for (const name of ["zeta-f16.gguf", "eta.GGUF", "notes.txt", "part.gguf.part"]) file(name);
  const { models } = find([`first=${one}`], [directory]);
  expect(models.map(({ id }) => id)).toEqual(["first", "eta", "one", "zeta-f16"]);
});

it("counts models that are still to come, and gives none the id of another", () => {
  const coming = [modelIdSchema.parse("alpha"), modelIdSchema.parse("beta")];
  const findWith = (models: string[], directories: string[] = []): string[] =>
    findModels({ models, directories, form: "files" }, coming).models.map(({ id }) => id);
  expect(findWith([])).toEqual([]);
  file("gamma.gguf");
  expect(findWith([], [directory])).toEqual(["gamma"]);
  file("beta.gguf");
  expect(() => findWith([], [directory])).toThrow(
    "Two files are to be model beta. Give each model an id of its own.",
  );
  const many = Array.from({ length: 63 }, (_, index) => `m${index}=${join(directory, "gamma.gguf")}`);
  expect(() => findWith(many)).toThrow(/^65 models are too many/);
});

it("passes over files that are no model or have no usable name, and says so", () => {
  for (const name of ["good.gguf", "mmproj-good.gguf", "good-mmproj-f16.gguf", "has space.gguf"]) file(name);
  // Of a disk that is not a Mac's own.
  file("._good.gguf", "\0\x05\x16\x07");
  const { models, skipped } = find([], [directory]);
  expect(models.map(({ id }) => id)).toEqual(["good"]);
  expect(skipped).toEqual([
    "good-mmproj-f16.gguf: a projector for images, not a model",
    expect.stringContaining("has space.gguf"),
    expect.stringContaining("mmproj-good.gguf"),
  ]);
});

it("passes over damaged and unreadable files of a directory, each named with what is wrong", () => {
  file("a.gguf", "<html>");
  file("b.gguf", gguf().slice(0, 10));
  mkdirSync(join(directory, "c.gguf"));
  symlinkSync("/no/such.gguf", join(directory, "d.gguf"));
  file("e-00001-of-00002.gguf");
  file("good.gguf");
  const { models, skipped } = find([], [directory]);
  expect(models.map(({ id }) => id)).toEqual(["good"]);
  expect(skipped).toEqual([
    expect.stringMatching(/a\.gguf is not a GGUF file$/),
    expect.stringMatching(/b\.gguf is damaged: .* Download it again$/),
    expect.stringMatching(/c\.gguf is a directory/),
    expect.stringMatching(/Cannot open .*d\.gguf/),
    expect.stringMatching(/Cannot open .*e-00002-of-00002\.gguf/),
  ]);
});

it("refuses to start with a damaged file alone, and says which", () => {
  file("a.gguf", "<html>");
  expect(() => find([], [directory])).toThrow(
    /No model to serve in .* \(skipped .*a\.gguf is not a GGUF file\)/,
  );
});

it("takes the first model named by itself for the one to hold first, and none of a directory", () => {
  const b = file("b.gguf");
  file("a.gguf");
  expect(find([`beta=${b}`], [directory]).first).toBe("beta");
  expect(find([], [directory]).first).toBeNull();
});

it("takes the parts of a split model for one", () => {
  const path = file("big-00001-of-00002.gguf");
  file("big-00002-of-00002.gguf", gguf("0123456789"));
  expect(find([], [directory]).models).toEqual([{ id: "big", path, sizeBytes: 58 }]);
  const named = { models: [`big=${path}`], directories: [], form: "files or names" } as const;
  expect(findModels(named).models).toEqual([{ id: "big", path, sizeBytes: 58 }]);
  rmSync(join(directory, "big-00002-of-00002.gguf"));
  expect(() => find([], [directory])).toThrow(/big-00002-of-00002/);
});

it("needs no file for an engine without models", () => {
  expect(findModels({ models: ["alpha"], directories: [], form: "ids" }).models).toEqual([
    { id: "alpha", path: "", sizeBytes: 0 },
  ]);
});

it("takes names for an engine that has its own, and the id if there is none", () => {
  const path = join(directory, "named.gguf");
  writeFileSync(path, gguf("0123456789"));
  const models = ["alpha=org/Model-8B-4bit", "beta", `gamma=${path}`, `delta=${directory}`];
  expect(findModels({ models, directories: [], form: "files or names" }).models).toEqual([
    { id: "alpha", path: "org/Model-8B-4bit", sizeBytes: 0 },
    { id: "beta", path: "beta", sizeBytes: 0 },
    { id: "gamma", path, sizeBytes: 34 },
    { id: "delta", path: directory, sizeBytes: 0 },
  ]);
});

describe("a mistake is answered with what to do", () => {
  it("for a file that is not there", () => {
    expect(() => find(["a=/no/such.gguf"])).toThrow(
      "Cannot open the model file /no/such.gguf: ENOENT: no such file or directory.",
    );
  });

  it("for a file that is no GGUF", () => {
    expect(() => find([`a=${file("a.gguf", "<html>")}`])).toThrow(/is not a GGUF file/);
  });

  it.each([
    ["a cut header", "GGUF\x03"],
    ["a version that there is not", gguf().replace("\x03", "x")],
    ["more tensors than there can be", `${gguf().slice(0, 12)}\x01${"\0".repeat(11)}`],
    ["more keys than there can be", gguf().slice(0, 16) + "garbage!"],
  ])("for %s, which an engine might read on and on", (_, contents) => {
    expect(() => find([`a=${file("a.gguf", contents)}`])).toThrow(/is damaged.*Download it again/);
  });

  it("for a file of the other byte order, which no second download mends", () => {
    const header = `GGUF\0\0\0\x03${"\0".repeat(16)}`;
    expect(() => find([`a=${file("a.gguf", header)}`])).toThrow(
      /big-endian.*Get its little-endian version\.$/,
    );
  });

  it("for a directory", () => {
    mkdirSync(join(directory, "d.gguf"));
    expect(() => find([`a=${join(directory, "d.gguf")}`])).toThrow(/is a directory/);
  });

  it("for an id without a file", () => {
    expect(() => find(["alpha"])).toThrow(/names no file/);
  });

  it("for a malformed id", () => {
    expect(() => find([`a#b=${file("a.gguf")}`])).toThrow(/"a#b" is no model id/);
  });

  it("for an id used twice", () => {
    const path = file("a.gguf");
    expect(() => find([`a=${path}`], [directory])).toThrow(/Two files are to be model a/);
  });

  it("for no models at all", () => {
    expect(() => find([])).toThrow(/No model to serve/);
    expect(() => find([], [directory])).toThrow(`No model to serve in ${directory}. Name one`);
  });

  it("for a directory in which every file is passed over, with the reasons", () => {
    file("my model.gguf");
    expect(() => find([], [directory])).toThrow(/\(skipped my model\.gguf: its name is no model id/);
  });

  it("for too many", () => {
    for (let i = 0; i < 65; i++) file(`m${i}.gguf`);
    expect(() => find([], [directory])).toThrow(/at most 64/);
  });

  it("for a directory that is not there", () => {
    expect(() => find([], ["/no/such"])).toThrow(/Cannot read the models directory/);
  });
});

it.each([
  ["gpt-oss-20b-mxfp4.gguf", "mxfp4"],
  ["Llama-3-8B-Instruct.Q8_0.gguf", "q8_0"],
  ["gemma-IQ3_XXS.gguf", "iq3_xxs"],
  ["qwen3-4b-q4.gguf", "q4"],
  ["model-bf16.gguf", "bf16"],
  ["quiz-4b.gguf", null],
])("reads the quantization of %s as %s", (name, expected) => {
  expect(quantizationOf(name)).toBe(expected);
});

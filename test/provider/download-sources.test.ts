import { basename, dirname } from "node:path";

import { describe, expect, it } from "vitest";

import {
  describeProgress,
  type DownloadProgress,
  Progress,
  sizeText,
} from "../../provider/src/downloads/progress.ts";
import { readRemoteModel } from "../../provider/src/downloads/source.ts";
import { DownloadClock } from "../support/download-clock.ts";

const read = (source: string): ReturnType<typeof readRemoteModel> => readRemoteModel(source, "/models");
const urls = (source: string): string[] | undefined => read(source)?.files.map(({ url }) => url.href);
const place = (source: string): string => dirname(read(source)?.files[0]?.path ?? "");

describe("an address of a model", () => {
  it.each([
    ["a=hf:org/repo/m.gguf", "https://huggingface.co/org/repo/resolve/main/m.gguf"],
    ["a=hf:org/repo@v1.0/sub/m.gguf", "https://huggingface.co/org/repo/resolve/v1.0/sub/m.gguf"],
    ["a=hf:org/repo@refs%2Fpr%2F1/m.gguf", "https://huggingface.co/org/repo/resolve/refs%2Fpr%2F1/m.gguf"],
    [
      "a=https://huggingface.co/org/repo/blob/main/m.gguf?download=true",
      "https://huggingface.co/org/repo/resolve/main/m.gguf",
    ],
    ["org/a=https://example.com/x%20y.gguf?key=1=2", "https://example.com/x%20y.gguf?key=1=2"],
    ["a=HTTP://127.0.0.1:8080/m.GGUF", "http://127.0.0.1:8080/m.GGUF"],
  ])("in %s is %s", (source, expected) => {
    expect(urls(source)).toEqual([expected]);
  });

  it.each([
    "a=/m.gguf",
    "a=~/m.gguf",
    "a=hf/m.gguf",
    "hf:org/repo/m.gguf",
    "a=C:/m.gguf",
    "https://x.example/m.gguf",
  ])("is not in %s", (source) => {
    expect(read(source)).toBeNull();
  });

  it("is that of every part if the model is split, with what follows the question mark", () => {
    const parts = [1, 2].map((n) => `https://x.example/q4/m-0000${n}-of-00002.gguf?v=1`);
    expect(urls("a=https://x.example/q4/m-00001-of-00002.gguf?v=1")).toEqual(parts);
    expect(urls("a=https://x.example/q4/m-00002-of-00002.gguf?v=1")).toEqual(parts);
  });

  it("has a hash, or one for each part", () => {
    const [one, two] = ["a".repeat(64), "B".repeat(64)];
    const split = read(`a=https://x.example/m-00001-of-00002.gguf#sha256=${one},${two}`);
    expect(split?.files.map(({ sha256 }) => sha256)).toEqual([one, two.toLowerCase()]);
    expect(split?.files[0]?.url.hash).toBe("");
    expect(read("a=hf:org/repo/m.gguf")?.files[0]?.sha256).toBeNull();
  });
});

describe("the place of a model", () => {
  it("keeps the file's name", () => {
    expect(basename(read("a=https://x.example/x%20y.gguf")?.files[0]?.path ?? "")).toBe("x y.gguf");
  });

  it("is the same for all ways to write one address", () => {
    const addresses = ["hf:o/r/m.gguf", "hf:o/r@main/m.gguf", "https://huggingface.co/o/r/blob/main/m.gguf"];
    expect(new Set(addresses.map((address) => place(`a=${address}`))).size).toBe(1);
    const hash = `#sha256=${"0".repeat(64)}`;
    expect(place(`b=hf:o/r/m.gguf${hash}`)).toBe(place("a=hf:o/r/m.gguf"));
    expect(place("a=https://x/m-00002-of-00002.gguf")).toBe(place("a=https://x/m-00001-of-00002.gguf"));
  });

  it("is another one for every other address, also on disks that ignore the case of letters", () => {
    const addresses = [
      "hf:o/r/m.gguf",
      "hf:O/r/m.gguf",
      "hf:o/r@v2/m.gguf",
      "hf:o/s/m.gguf",
      "https://x.example/m.gguf",
    ];
    expect(new Set(addresses.map((address) => place(`a=${address}`).toLowerCase())).size).toBe(
      addresses.length,
    );
  });
});

describe("a mistake is answered with what to write instead", () => {
  it.each([
    ["a=hf:org/repo", /names no file\. Write it as hf:ORG\/REPO\/file\.gguf/],
    ["a=hf:org/repo:Q4_K_M", /names no file/],
    ["a=https://", /is not a URL/],
    ["a=https://user:pass@x.example/m.gguf", /must not contain a user name/],
    ["a=https://x.example/", /does not end with the name of a GGUF file/],
    ["a=https://x.example/m.bin", /does not end with the name of a GGUF file/],
    ["a=https://x.example/.gguf", /does not end with the name of a GGUF file/],
    ["a=https://x.example/..%2F..%2Fkey.gguf", /does not end with the name of a GGUF file/],
    ["a=https://x.example/a%5Cb.gguf", /does not end with the name of a GGUF file/],
    ["a=https://x.example/a%00b.gguf", /does not end with the name of a GGUF file/],
    [`a=https://x.example/${"m".repeat(200)}.gguf`, /does not end with the name of a GGUF file/],
    ["a=https://x.example/%ff.gguf", /has a % that stands for nothing/],
    ["a=https://x.example/m.gguf#sha256=12", /has to be #sha256=HEX, with 64 digits/],
    ["a=https://x.example/m.gguf#top", /has to be #sha256=HEX/],
    [`a=https://x.example/m-00001-of-00002.gguf#sha256=${"0".repeat(64)}`, /one for each of its 2 parts/],
    ["a b=hf:org/repo/m.gguf", /"a b" is no model id/],
  ])("%s", (source, expected) => {
    expect(() => read(source)).toThrow(expected);
  });
});

describe("how far a download is", () => {
  it.each([
    [5.1e9, 12.1e9, 38.2e6, "downloading m.gguf 42 % of 12.1 GB | 38.2 MB/s | 3 min left"],
    [1e6, 2e6, 50_000, "downloading m.gguf 50 % of 2.0 MB | 50 kB/s | 20 s left"],
    [1e9, 60e9, 1e6, "downloading m.gguf 1 % of 60.0 GB | 1.0 MB/s | 16.4 h left"],
    [0, 1000, 0, "downloading m.gguf 0 % of 1 kB | 0 kB/s"],
    [5e6, null, 1e6, "downloading m.gguf 5.0 MB | 1.0 MB/s"],
  ])("%j of %j bytes", (bytes, total, rate, expected) => {
    expect(describeProgress({ file: "m.gguf", bytes, total, perSecond: rate })).toBe(expected);
  });

  it("counts its rate anew after it has started anew", () => {
    const shown: string[] = [];
    const clock = new DownloadClock();
    const log = { info: () => {}, warn: () => {}, error: () => {} };
    const showProgress = (state: DownloadProgress | null): void => {
      if (state !== null) shown.push(describeProgress(state));
    };
    const progress = new Progress({ clock, log, showProgress }, "a", "/m.gguf");
    for (const bytes of [8e6, 1e6, 2e6]) {
      progress.at(bytes, 10e6);
      clock.pass(1000);
    }
    expect(shown.at(-1)).toBe("downloading m.gguf 20 % of 10.0 MB | 1.0 MB/s | 8 s left");
  });

  it("counts as file managers of Macs do", () => {
    expect([999, 1_500_000, 12_100_000_000].map(sizeText)).toEqual(["1 kB", "1.5 MB", "12.1 GB"]);
  });
});

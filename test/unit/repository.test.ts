import { globSync, readFileSync } from "node:fs";

import { parse } from "smol-toml";
import { describe, expect, it } from "vitest";

/** What must be true of the repository itself. */

const root = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), "utf8");

interface Deployed {
  readonly durable_objects: {
    readonly bindings: readonly { readonly class_name: string }[];
    readonly code_update_strategy: object;
  };
  readonly migrations: readonly { readonly new_sqlite_classes: readonly string[] }[];
}

interface Locked {
  readonly packages: Readonly<
    Record<string, { readonly name?: string; readonly version?: string; readonly resolved?: string }>
  >;
}

describe("the lock file", () => {
  const { packages } = JSON.parse(read("package-lock.json")) as Locked;

  it.each([
    ["@cloudflare/workerd-darwin-arm64", "workerd"],
    ["@cloudflare/workerd-darwin-64", "workerd"],
    ["@cloudflare/workerd-linux-64", "workerd"],
    ["@node-llama-cpp/mac-arm64-metal", "node-llama-cpp"],
    ["@node-llama-cpp/linux-x64", "node-llama-cpp"],
    ["@oxlint/binding-darwin-arm64", "oxlint"],
    ["@oxfmt/binding-darwin-arm64", "oxfmt"],
    ["@typescript/typescript-darwin-arm64", "typescript"],
  ])("holds %s in the version of %s, without which `npm ci` fails there", (binary, owner) => {
    const version = packages[`node_modules/${owner}`]?.version;
    expect(version).toMatch(/^\d/);
    expect(packages[`node_modules/${binary}`]?.version).toBe(version);
  });

  it("holds one workerd and no second one of another version", () => {
    expect(Object.keys(packages).filter((path) => path.endsWith("/workerd"))).toEqual([
      "node_modules/workerd",
    ]);
  });

  it("replaces the GPU binaries that no machine of ours can use and that fill the disk", () => {
    const heavy = Object.entries(packages).filter(([path]) => /@node-llama-cpp\/.*(cuda|vulkan)/.test(path));
    expect(heavy.map(([path]) => path.split("/").at(-1)).sort()).toEqual([
      "linux-x64-cuda",
      "linux-x64-cuda-ext",
      "linux-x64-vulkan",
      "win-x64-cuda",
      "win-x64-cuda-ext",
      "win-x64-vulkan",
    ]);
    for (const [, locked] of heavy) expect(locked.name).toBe("noop-package");
  });

  it("names no registry, so that `npm ci` works with any", () => {
    const resolved = Object.values(packages).map((locked) => locked.resolved ?? "");
    expect(resolved.filter((address) => address.includes("://"))).toEqual([]);
  });
});

describe("what is deployed", () => {
  const config = parse(read("wrangler.toml")) as unknown as Deployed;

  it("[H18] runs one code at a time: Wrangler would leave busy objects on the old one for minutes", () => {
    expect(config.durable_objects.code_update_strategy).toEqual({ mode: "immediate" });
  });

  it("has each class of objects in one migration, with SQLite", () => {
    const created = config.migrations.flatMap(({ new_sqlite_classes }) => new_sqlite_classes);
    const bound = config.durable_objects.bindings.map(({ class_name }) => class_name);
    expect(created.toSorted()).toEqual(bound.toSorted());
  });
});

describe("house rules", () => {
  it.each(["package.json", "provider/package.json"])("%s pins every version exactly", (path) => {
    const manifest = JSON.parse(read(path)) as Record<string, Record<string, string> | undefined>;
    const versions = { ...manifest["dependencies"], ...manifest["devDependencies"] };
    expect(Object.keys(versions).length).toBeGreaterThan(0);
    for (const [name, version] of Object.entries(versions)) {
      expect(`${name} ${version}`).toMatch(/^\S+ \d+\.\d+\.\d+(-[\w.]+)?$/);
    }
  });

  const files = globSync("{core,protocol}/**/*.ts", { cwd: root });

  it("finds the files they are about", () => {
    expect(files).toContain("core/pool/dispatch.ts");
    expect(files).toContain("protocol/codec.ts");
  });

  it.each(files)("%s says what it is before it exports anything", (path) => {
    const [beforeExports = ""] = read(path).split(/^export /m);
    expect(beforeExports).toContain("/**");
  });
});

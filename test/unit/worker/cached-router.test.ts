import { describe, expect, it } from "vitest";

import { CachedRouter } from "../../../worker/cached-router.ts";

function aRouter(): CachedRouter<string> {
  const router = new CachedRouter<string>();
  router.add("ALL", "/*", "for all");
  router.add("GET", "/models/:id", "a model");
  router.add("POST", "/chat", "a chat");
  return router;
}

function handlersOf(router: CachedRouter<string>, method: string, path: string): string[] {
  return router.match(method, path)[0].map(([handler]) => handler);
}

describe("a router with a memory", () => {
  it("walks over its routes once for a path", () => {
    const router = aRouter();
    expect(router.match("POST", "/chat")).toBe(router.match("POST", "/chat"));
  });

  it("mixes up neither methods nor paths", () => {
    const router = aRouter();
    for (let times = 0; times < 2; times++) {
      expect(handlersOf(router, "POST", "/chat")).toEqual(["for all", "a chat"]);
      expect(handlersOf(router, "GET", "/chat")).toEqual(["for all"]);
      expect(router.match("GET", "/models/a")[0][1]).toEqual(["a model", { id: "a" }]);
      expect(router.match("GET", "/models/b")[0][1]).toEqual(["a model", { id: "b" }]);
    }
  });

  it("finds a route that is added after its path was asked for", () => {
    const router = aRouter();
    expect(handlersOf(router, "GET", "/late")).toEqual(["for all"]);
    router.add("GET", "/late", "late");
    expect(handlersOf(router, "GET", "/late")).toEqual(["for all", "late"]);
  });

  it("forgets, so that made-up paths do not fill the memory", () => {
    const router = aRouter();
    const first = router.match("GET", "/models/0");
    for (let id = 1; id < 1000; id++) router.match("GET", `/models/${id}`);
    const again = router.match("GET", "/models/0");
    expect(again).not.toBe(first);
    expect(again).toEqual(first);
  });
});

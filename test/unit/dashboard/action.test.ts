import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { act, actWith } from "../../../dashboard/action.js";
import { ApiError } from "../../../dashboard/api-error.js";
import { Api } from "../../../dashboard/api.js";

/** The one place that sends and reports, on as much of a document as it touches. */

class Element {
  disabled = false;
  textContent = "";
  className = "";
  readonly attributes = new Map<string, string>();
  readonly children: Element[] = [];

  setAttribute(name: string, value: string): void {
    this.attributes.set(name, value);
  }

  removeAttribute(name: string): void {
    this.attributes.delete(name);
  }

  contains(other: Element): boolean {
    return this.children.includes(other);
  }

  focus(): void {
    page.activeElement = this;
  }
}

const body = new Element();
let page = { body, activeElement: body };

beforeEach(() => {
  page = { body, activeElement: body };
  vi.stubGlobal("document", page);
  vi.stubGlobal("HTMLElement", Element);
});
afterEach(() => {
  vi.unstubAllGlobals();
});

function scene() {
  const controls = new Element();
  const button = new Element();
  controls.children.push(button);
  const report = new Element();
  const calls: string[] = [];
  actWith({
    api: new Api("secret"),
    readAnew: () => calls.push("read"),
    lock: (why) => calls.push(`lock: ${why}`),
  });
  return { place: { controls, report }, controls, button, report, calls };
}

const done = () => "Done.";

it("closes the controls while it is under way, reports, and has the fleet read anew", async () => {
  const { place, controls, button, report, calls } = scene();
  button.focus();
  const outcome = await act(
    place,
    () => {
      expect([controls.disabled, controls.attributes.get("aria-busy")]).toEqual([true, "true"]);
      // As a browser does with the control that was closed.
      page.activeElement = body;
      return Promise.resolve(8);
    },
    { done: (answer) => `Epoch ${answer}.` },
  );
  expect(outcome).toEqual({ ok: true, answer: 8 });
  expect([report.textContent, report.className]).toEqual(["Epoch 8.", "report"]);
  expect(calls).toEqual(["read"]);
  expect([controls.disabled, controls.attributes.has("aria-busy")]).toEqual([false, false]);
  expect(page.activeElement).toBe(button);
});

it("leaves the focus to whoever has gone elsewhere", async () => {
  const { place, button } = scene();
  const elsewhere = new Element();
  button.focus();
  await act(
    place,
    () => {
      elsewhere.focus();
      return Promise.resolve();
    },
    { done },
  );
  expect(page.activeElement).toBe(elsewhere);
});

it("reports a refusal, opens the controls again, and reads nothing", async () => {
  const { place, controls, report, calls } = scene();
  const error = new ApiError("it is too old", { code: "machine_not_assignable" });
  const outcome = await act(place, () => Promise.reject(error), { done });
  expect(outcome).toEqual({ ok: false, error });
  expect([report.textContent, report.className]).toEqual(["It is too old.", "report problem"]);
  expect(controls.disabled).toBe(false);
  expect(calls).toEqual([]);
});

it("locks the page if the token is refused, and says that nothing was changed", async () => {
  const { place, controls, report, calls } = scene();
  const error = new ApiError("This is not the admin token.", { isLocked: true });
  await act(place, () => Promise.reject(error), { done });
  expect(calls).toEqual(["lock: This is not the admin token."]);
  expect(report.textContent).toBe("This is not the admin token. Nothing was changed.");
  expect(controls.disabled).toBe(false);
});

it("hides no defect of the page, and opens the controls all the same", async () => {
  const { place, controls } = scene();
  await expect(act(place, () => Promise.reject(new TypeError("a defect")), { done })).rejects.toThrow(
    "a defect",
  );
  expect(controls.disabled).toBe(false);
});

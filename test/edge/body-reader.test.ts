import { expect, it } from "vitest";

import { LONG_BODY_CHARS } from "../../core/limits.ts";
import { BodyReader } from "../../durable-objects/body-reader.ts";

/** Bodies on their way into a pool. */

const LONG = LONG_BODY_CHARS + 1;

/** A body that arrives when it is told to. */
function arriving(text: string) {
  let isAskedFor = false;
  let arrive = (): void => undefined;
  let breakOff = (): void => undefined;
  const arrived = new Promise<void>((resolve, reject) => {
    arrive = resolve;
    breakOff = () => reject(new Error("broken off"));
  });
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        isAskedFor = true;
        await arrived;
        controller.enqueue(new TextEncoder().encode(text));
        controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  const request = new Request("http://pool/", { method: "POST", body });
  return { request, isAskedFor: () => isAskedFor, arrive, breakOff };
}

it("long ones are read one after the other, and short ones at once", async () => {
  const reader = new BodyReader();
  const [first, second, short, old] = [arriving("one"), arriving("two"), arriving("short"), arriving("old")];
  const read = [reader.read(first.request, LONG), reader.read(second.request, LONG)];
  const shortRead = reader.read(short.request, LONG_BODY_CHARS);
  // A Worker of an earlier version does not say how long it is.
  const oldRead = reader.read(old.request, 0);
  short.arrive();
  old.arrive();
  expect([await shortRead, await oldRead]).toEqual(["short", "old"]);
  expect([first.isAskedFor(), second.isAskedFor()]).toEqual([true, false]);
  first.arrive();
  expect(await read[0]).toBe("one");
  second.arrive();
  expect(await read[1]).toBe("two");
});

it("one that breaks off is heard of by its own request alone", async () => {
  const reader = new BodyReader();
  const [broken, next] = [arriving("never"), arriving("next")];
  const read = [reader.read(broken.request, LONG), reader.read(next.request, LONG)];
  broken.breakOff();
  await expect(read[0]).rejects.toThrow("broken off");
  next.arrive();
  expect(await read[1]).toBe("next");
});

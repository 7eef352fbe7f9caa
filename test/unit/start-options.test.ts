import { join } from "node:path";

import { expect, it } from "vitest";

import { readOptions } from "../../scripts/options.ts";
import { ROOT } from "../../scripts/root.ts";
import { UserError } from "../../scripts/user-error.ts";

it("starts with the demo on the usual port when nothing is said", () => {
  expect(readOptions([], {})).toEqual({
    port: 8787,
    once: false,
    demo: true,
    stateDir: join(ROOT, ".poolkeeper"),
    help: false,
  });
});

it.each([
  [["--port", "x"], '--port wants a number from 0 to 65535, not "x".'],
  [["--prot", "1"], /Unknown option '--prot'\nSee "npm start -- --help"\.$/],
  [["--once", "--no-demo"], /does not go with --no-demo/],
])("refuses %j with a sentence", (args, message) => {
  expect(() => readOptions(args, {})).toThrow(message);
  expect(() => readOptions(args, {})).toThrow(UserError);
});

// What npm 11 makes of "npm start --port 0", "--port=0", "--once" and "--no-demo".
it.each([
  [["0"], { npm_config_port: "true" }, "--port"],
  [[], { npm_config_port: "0" }, "--port"],
  [[], { npm_config_once: "true" }, "--once"],
  [[], { npm_config_demo: "" }, "--no-demo"],
])("says where to write options that npm has kept: %j %j", (args, environment, option) => {
  expect(() => readOptions(args, environment)).toThrow(
    `npm has kept ${option} for itself. Write "--" before the options: npm start -- ${option} ...`,
  );
});

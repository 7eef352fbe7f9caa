import { expect, it } from "vitest";

import { adminCall, callAdmin, errorOf, fetchEdge, scene } from "./scene.ts";

it("a parameter that an address of the operators does not know is refused, with those that it knows, and changes nothing", async () => {
  const { model } = await scene();
  expect(await errorOf(await callAdmin("GET", "/usage?day=7"))).toMatchObject({
    status: 400,
    code: "invalid_request",
    param: "day",
    message: "day: is not known here; this address takes by and days",
  });
  expect(await errorOf(await callAdmin("DELETE", `/catalog/${model}?forced=true`))).toMatchObject({
    status: 400,
    param: "forced",
    message: "forced: is not known here; this address takes force",
  });
  expect(await adminCall("GET", `/catalog/${model}`)).toMatchObject({ id: model });
  expect(await errorOf(await callAdmin("POST", "/machines/mac-1/cordon?until=noon"))).toMatchObject({
    message: "until: is not known here; this address takes no parameters",
  });
});

it("an address that does not exist is not found, whatever follows it", async () => {
  expect(await errorOf(await callAdmin("GET", "/nowhere?day=7"))).toMatchObject({ status: 404 });
});

it("clients and providers may add parameters that nobody knows", async () => {
  const { apiKey, token } = await scene();
  const models = await fetchEdge("/v1/models?client_version=1.2.3", {
    headers: { authorization: `Bearer ${apiKey}` },
  });
  expect(models.status).toBe(200);
  const explained = await fetchEdge("/v1/providers/explain?machine=mac-none&more=1", {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(explained.status).toBe(404);
});

import { expect, it } from "vitest";

import {
  adminDetails,
  adminLines,
  adminRevocation,
  adminRevoked,
  sortedAdmins,
  type AdminTokenRow,
} from "../../../dashboard/admin-tokens.js";
import { filteredSecrets } from "../../../dashboard/keys.js";

const ID = "0123456789abcdef01";

const row = (fields: Partial<AdminTokenRow> = {}): AdminTokenRow => ({
  id: ID,
  name: "anna",
  scope: "admin",
  created_at: 1,
  ...fields,
});

it("an admin token is shown with what it may do", () => {
  const [line] = adminLines([row()]);
  if (line === undefined) throw new Error("there is no line");
  expect(adminDetails(line)).toMatchObject([
    { name: "May", value: "change everything" },
    { name: "Id", value: ID },
    { name: "Made" },
  ]);
  expect(adminDetails({ ...line, row: row({ scope: "read" }) })[0]).toEqual({
    name: "May",
    value: "only read",
  });
  expect(adminRevocation(line)).toMatchObject({ title: "Revoke anna?", text: expect.stringContaining(ID) });
  expect(adminRevoked(line)).toContain("anna is revoked");
});

it("admin tokens are sorted by what one chooses, and found by a whole secret", () => {
  const lines = adminLines([
    row({ id: "a".repeat(18), name: "b10", scope: "read", created_at: 3 }),
    row({ id: "b".repeat(18), name: "b9", created_at: 1 }),
    row({ id: "c".repeat(18), name: "a", created_at: 2 }),
  ]);
  const names = (key: "name" | "scope" | "created", isDescending = false) =>
    sortedAdmins(lines, { key, isDescending }).map(({ name }) => name);
  expect(names("name")).toEqual(["a", "b9", "b10"]);
  expect(names("scope")).toEqual(["b9", "a", "b10"]);
  expect(names("created", true)).toEqual(["b10", "a", "b9"]);
  const secret = `pa_${"c".repeat(18)}_${"0".repeat(64)}`;
  expect(filteredSecrets(lines, secret).map(({ name }) => name)).toEqual(["a"]);
});

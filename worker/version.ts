import rootPackage from "../package.json" with { type: "json" };

/** The provider version that belongs to this coordinator, and the lowest that it still accepts; null for any. */
export const PROVIDER_VERSION = { current: rootPackage.version, minimum: null } as const;

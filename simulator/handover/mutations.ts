import { Hooks } from "./hooks.ts";

export const MUTATIONS: Readonly<Record<string, () => Hooks>> = { none: () => new Hooks() };

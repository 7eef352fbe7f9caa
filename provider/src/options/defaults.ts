/** What is taken where the command line says nothing. */

export const DEFAULT_SLOTS = 4;

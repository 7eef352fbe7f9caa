/**
 * What the platform says of a call to an object that broke. The properties of the error are its contract, not the words.
 */

/** The object has more to do than it can: each further call makes it worse. */
export function isOverloaded(error: unknown): boolean {
  return error instanceof Error && "overloaded" in error && error.overloaded === true;
}

/** The object was reset, as by a deploy, could not be reached or is overloaded: nothing that our code has thrown. */
export function isPlatformFault(error: unknown): boolean {
  if (isOverloaded(error)) return true;
  if (!(error instanceof Error)) return false;
  return (
    ("durableObjectReset" in error && error.durableObjectReset === true) ||
    ("retryable" in error && error.retryable === true)
  );
}

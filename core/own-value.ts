/**
 * What an object that serves as a map has by a name that may be any text, such as a model's id. `object[name]` would find
 * what every object has, too: of a model called `constructor` everything would seem to be known.
 */
export function ownValue<Name extends string, Value>(
  object: Readonly<Record<Name, Value>>,
  name: Name,
): Value | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/**
 * Looks up a name of any text, such as a model's id, in an object that is used as a map. `object[name]` would also find
 * inherited properties, for example for a model called `constructor`.
 */
export function ownValue<Name extends string, Value>(
  object: Readonly<Record<Name, Value>>,
  name: Name,
): Value | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

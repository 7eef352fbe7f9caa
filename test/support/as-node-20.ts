/**
 * Imported before a program: takes from it what Node 20 does not have, which the published provider has to run on, so that a
 * test fails where an owner's machine would.
 */

const iterators: object = Object.getPrototypeOf(Object.getPrototypeOf([].values()));

const NEWER: readonly (readonly [object, readonly string[]])[] = [
  [Map, ["groupBy"]],
  [Object, ["groupBy"]],
  [Promise, ["try", "withResolvers"]],
  [Array, ["fromAsync"]],
  [RegExp, ["escape"]],
  [Error, ["isError"]],
  [ArrayBuffer.prototype, ["detached", "transfer", "transferToFixedLength"]],
  [Set.prototype, ["difference", "intersection", "isDisjointFrom", "isSubsetOf", "isSupersetOf"]],
  [Set.prototype, ["symmetricDifference", "union"]],
  [iterators, ["drop", "every", "filter", "find", "flatMap", "forEach", "map", "reduce", "some", "take"]],
  [iterators, ["toArray"]],
  [globalThis, ["AsyncDisposableStack", "CloseEvent", "DisposableStack", "Float16Array", "Iterator"]],
  [globalThis, ["navigator", "SuppressedError", "URLPattern", "WebSocket"]],
];

for (const [owner, names] of NEWER) for (const name of names) Reflect.deleteProperty(owner, name);

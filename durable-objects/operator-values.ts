import { z } from "zod";

/**
 * Values that operators may also write to KV by hand: flags and the catalog. What the fleet writes there itself
 * carries a version in its metadata, so that the fleet knows its own writing again when KV shows it late (H17).
 */

export interface OperatorValue {
  readonly value: string;
  readonly version: number;
}

export interface ReadValue {
  readonly value: string | null;
  /** The fleet wrote it, as this version; null for what somebody wrote by hand. */
  readonly version: number | null;
  readonly isOurs: boolean;
}

const metadataSchema = z.object({ version: z.int() });

export async function readOperatorValue(kv: KVNamespace, key: string): Promise<ReadValue> {
  const { value, metadata } = await kv.getWithMetadata(key);
  return readValue(value, metadata);
}

export async function readOperatorValues(kv: KVNamespace, keys: string[]): Promise<Map<string, ReadValue>> {
  const found = await kv.getWithMetadata(keys);
  // A key that is not there comes as null, whatever the types say.
  return new Map(
    [...found].map(([key, entry]: [string, { value: string | null; metadata: unknown } | null]) => [
      key,
      readValue(entry?.value ?? null, entry?.metadata),
    ]),
  );
}

function readValue(value: string | null, metadata: unknown): ReadValue {
  const parsed = metadataSchema.safeParse(metadata);
  const version = parsed.success ? parsed.data.version : null;
  return { value, version, isOurs: version !== null };
}

export async function writeOperatorValue(
  kv: KVNamespace,
  key: string,
  { value, version }: OperatorValue,
): Promise<void> {
  await kv.put(key, value, { metadata: { version } });
}

import { createHash, sign, X509Certificate, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";

import { certificateChainSchema } from "../../protocol/upstream.ts";
import type { Attester, Log } from "./agent/ports.ts";
import { reasonOf } from "./reason.ts";
import type { Identity } from "./state/identity.ts";
import { UserError } from "./user-error.ts";

/**
 * Proves to the coordinator that this machine holds its key, and shows what Apple has attested of it, if its owner has that:
 * `--attestation-chain FILE`, PEM, this device's certificate first.
 */

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * @param chainFile null for none. It is read again for each proof, so a renewed one counts without a restart.
 * @throws UserError if the file holds no certificates of this machine's key.
 */
export function createAttester(identity: Identity, chainFile: string | null, log: Log): Attester {
  if (chainFile !== null) readChain(chainFile, identity.publicKey);
  return {
    sign: (text) => signText(text, identity.privateKey),
    certificateChain: () => {
      if (chainFile === null) return [];
      try {
        return readChain(chainFile, identity.publicKey);
      } catch (cause) {
        log.warn("shows no certificates", { reason: reasonOf(cause) });
        return [];
      }
    },
  };
}

function signText(text: string, key: KeyObject): string {
  return sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }).toString("base64");
}

function readChain(path: string, publicKey: string): string[] {
  const chain = readCertificates(path);
  const [device] = chain;
  if (device === undefined) throw new UserError(`${path} holds no certificate. It must be PEM.`);
  // Certificates carry the code as it is, so there is no need to know where.
  const code = createHash("sha256").update(Buffer.from(publicKey, "base64")).digest();
  if (!device.raw.includes(code)) {
    throw new UserError(
      `${path} was not made for this machine's key. Ask for an attestation with the nonce ${code.toString("base64")}, the SHA-256 of the key.`,
    );
  }
  const stray = chain.findIndex((certificate, at) => {
    const next = chain[at + 1];
    return next !== undefined && !certificate.checkIssued(next);
  });
  if (stray !== -1) {
    throw new UserError(
      `Certificate ${stray + 1} in ${path} was not issued by the next one. This machine's has to come first, and each before that of its issuer.`,
    );
  }
  const texts = chain.map(({ raw }) => raw.toString("base64"));
  // A pool would close the socket (4000), and the machine would serve nobody.
  if (!certificateChainSchema.safeParse(texts).success) {
    throw new UserError(`${path} holds more certificates, or longer ones, than the coordinator takes.`);
  }
  return texts;
}

function readCertificates(path: string): X509Certificate[] {
  try {
    const texts = readFileSync(path, "utf8").match(CERTIFICATE) ?? [];
    return texts.map((text) => new X509Certificate(text));
  } catch (cause) {
    throw new UserError(`Cannot read certificates from ${path}: ${reasonOf(cause)}.`, { cause });
  }
}

import { withoutSecrets } from "../core/audit.ts";

/** Secrets that somebody has put where another text belongs, and where whoever may only read would find them. */

/** An admin token that is shorter than this is no secret, and might be part of any text. */
const SECRET_CHARS_MIN = 16;

/**
 * The text without any secret of ours.
 * @param adminToken the one of the Worker's secrets, which nobody could revoke.
 */
export function maskSecrets(text: string, adminToken: string): string {
  const masked = withoutSecrets(text);
  if (adminToken.length < SECRET_CHARS_MIN) return masked;
  return masked.replaceAll(adminToken, "...").replaceAll(encodeURIComponent(adminToken), "...");
}

/** @param adminToken the one of the Worker's secrets. */
export function holdsSecret(text: string, adminToken: string): boolean {
  return maskSecrets(text, adminToken) !== text;
}

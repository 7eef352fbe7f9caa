/**
 * The formats of JSON Schema that are held, as patterns. A format may be narrower than its standard, so that every
 * validator takes what is written.
 */

const DATE = String.raw`(?!0000)(?:\d{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)|(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)`;
const TIME = String.raw`(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)`;
const OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const IPV4 = String.raw`(?:${OCTET}\.){3}${OCTET}`;
const GROUP = "[0-9a-fA-F]{1,4}";
const LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
/** Two hyphens may be Punycode, and a name that ends in a number may be an address; both can be wrong. */
const WEB_HOST = String.raw`(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)*[a-z][a-z0-9]*`;
const URL_CHAR = "(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2})";

const PATTERNS = {
  date: DATE,
  time: TIME,
  "date-time": `${DATE}T${TIME}`,
  duration: String.raw`P(?:\d{1,9}W|(?!$|T$)(?:\d{1,9}Y)?(?:\d{1,9}M)?(?:\d{1,9}D)?(?:T(?!$)(?:\d{1,9}H)?(?:\d{1,9}M)?(?:\d{1,9}S)?)?)`,
  uuid: "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
  email: String.raw`(?=[^@]{1,64}@)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@(?:${LABEL}\.)+[A-Za-z]{2,}`,
  /** As long as one of its parts may be, so that the parts need not be counted. */
  hostname: String.raw`(?=.{1,63}$)${LABEL}(?:\.${LABEL})*`,
  ipv4: IPV4,
  ipv6: ipv6(),
  uri: String.raw`(?:https?|wss?|ftp)://(?:${WEB_HOST}|${IPV4})(?::[1-9]\d{0,3})?(?:/${URL_CHAR}*)?(?:\?${URL_CHAR}*)?(?:#${URL_CHAR}*)?`,
} as const;

export type StringFormat = keyof typeof PATTERNS;

/** The format of this name in a schema; null = it is not held. */
export function stringFormat(name: unknown): StringFormat | null {
  if (name === "url") return "uri";
  return isHeld(name) ? name : null;
}

function isHeld(name: unknown): name is StringFormat {
  return typeof name === "string" && Object.hasOwn(PATTERNS, name);
}

export function patternOfFormat(format: StringFormat): string {
  return `^(?:${PATTERNS[format]})$`;
}

/** Eight groups; or fewer before and after two colons. */
function ipv6(): string {
  const short = [1, 2, 3, 4, 5, 6].map(
    (before) => `(?:${GROUP}:){1,${before}}(?::${GROUP}){1,${7 - before}}`,
  );
  return [`(?:${GROUP}:){7}${GROUP}`, `(?:${GROUP}:){1,7}:`, ...short, `:(?:(?::${GROUP}){1,7}|:)`].join("|");
}

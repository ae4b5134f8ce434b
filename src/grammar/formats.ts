/**
 * The demands of `format` on strings and numbers. The patterns were written from the RFCs; where those allow what hardly anybody writes and
 * checkers disagree about, as leap seconds, the patterns do not. A name that is not here asks for nothing, as the standard has it.
 */

const DIGIT = "[0-9]";
const OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const IPV4 = `${OCTET}(\\.${OCTET}){3}`;
const H16 = "[0-9a-fA-F]{1,4}";

/** RFC 4291: eight groups, of which some in a row may be left out; the last two may be an IPv4 address. */
const IPV6 = ipv6();

function ipv6(): string {
  const options = [`(${H16}:){7}${H16}`, `(${H16}:){6}${IPV4}`, `::(${H16}:){0,5}${IPV4}`, `::(${H16}(:${H16}){0,6})?`];
  for (let before = 1; before <= 6; before++) {
    const head = `(${H16}:){${before}}`;
    options.push(`${head}(:${H16}){1,${7 - before}}`);
    if (before <= 4) options.push(`${head}(:${H16}){0,${4 - before}}:${IPV4}`);
  }
  options.push(`(${H16}:){1,7}:`);
  return `(${options.join("|")})`;
}

/** RFC 3339; the 29th of February only where the year has one. */
const LEAP_YEAR = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)";
const DATE =
  `(${DIGIT}{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))` +
  `|${LEAP_YEAR}-02-29)`;
const CLOCK = `([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?`;
const OFFSET = "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";

const PERCENT = "%[0-9a-fA-F]{2}";
const UNRESERVED = "A-Za-z0-9._~\\-";
const SUB = "!$&'()*+,;=";
/** The characters that RFC 3987 adds for other languages. */
const UCS = "\\u00a0-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\uffef";

/** RFC 3986. @param plain the characters that need no escape */
function uriOf(plain: string): { readonly absolute: string; readonly relative: string } {
  const pchar = `([${plain}${SUB}:@]|${PERCENT})`;
  const host = `(\\[${IPV6}\\]|([${plain}${SUB}]|${PERCENT})*)`;
  const authority = `(([${plain}${SUB}:]|${PERCENT})*@)?${host}(:[0-9]*)?`;
  const tail = `(\\?(${pchar}|[/?])*)?(#(${pchar}|[/?])*)?`;
  const path = `(//${authority}(/${pchar}*)*|/(${pchar}+(/${pchar}*)*)?`;
  const first = `([${plain}${SUB}@]|${PERCENT})`;
  return {
    absolute: `[A-Za-z][A-Za-z0-9+.\\-]*:${path}|${pchar}+(/${pchar}*)*)${tail}`,
    relative: `${path}|${first}+(/${pchar}*)*|)${tail}`,
  };
}

const URI = uriOf(UNRESERVED);
const IRI = uriOf(UNRESERVED + UCS);

/** Labels of RFC 1123. Together they have at most 249 characters, which is counted by their number. */
const LABEL = (most: number): string => `[A-Za-z0-9]([A-Za-z0-9\\-]{0,${most - 2}}[A-Za-z0-9])?`;
const HOSTNAME = `${LABEL(63)}(\\.${LABEL(30)}){0,6}`;

/** A name with a domain, as URLs of the web have it. */
const WEB_HOST = `([A-Za-z0-9]+(-[A-Za-z0-9]+)*\\.)+[A-Za-z]{2,}`;

const VARIABLE = `([A-Za-z0-9_]|${PERCENT})+(\\.([A-Za-z0-9_]|${PERCENT})+)*(:[1-9][0-9]{0,3}|\\*)?`;
const TEMPLATE = `([${UNRESERVED}${SUB.replace("'", "")}:@/?#\\[\\]]|${PERCENT}|\\{[+#./;?&=]?${VARIABLE}(,${VARIABLE})*\\})*`;

const ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-]+";
/** An address of at most so many characters: which parts get how many is settled beforehand. */
function shortEmail(most: number): string {
  const local = Math.min(64, Math.floor(most / 3));
  const domain = most - 1 - local;
  const label = Math.min(24, Math.floor(domain / 3));
  const labels = Math.min(3, Math.floor(domain / (label + 1)) - 1);
  const first = Math.min(63, domain - labels * (label + 1));
  const name = `[A-Za-z0-9!#$%&'*+/=?^_\`{|}~\\-]`;
  return `${name}(\\.?${name}){0,${Math.floor(local / 2) - 1}}@${LABEL(first)}(\\.${LABEL(label)}){1,${labels}}`;
}

const EMAIL = `${ATOM}(\\.${ATOM})*@(${LABEL(63)}\\.)+${LABEL(63)}`;

const ISO_DAYS = "[0-9]+D";
const ISO_TIME = "T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)";
const ISO_DATE = `([0-9]+Y([0-9]+M(${ISO_DAYS})?)?|[0-9]+M(${ISO_DAYS})?|${ISO_DAYS})`;

const HEX = "[0-9a-fA-F]";
const TOKEN = "(/([^~/]|~[01])*)*";

/** Patterns of whole strings. */
const STRINGS: Readonly<Record<string, string>> = {
  date: DATE,
  time: CLOCK + OFFSET,
  "date-time": `${DATE}[Tt]${CLOCK}${OFFSET}`,
  duration: `P(${ISO_DATE}(${ISO_TIME})?|${ISO_TIME}|[0-9]+W)`,
  email: EMAIL,
  hostname: HOSTNAME,
  ipv4: IPV4,
  ipv6: IPV6,
  uri: URI.absolute,
  iri: IRI.absolute,
  "iri-reference": `(${IRI.absolute}|${IRI.relative})`,
  url: `(https?|ftp)://${WEB_HOST}(:[0-9]{2,5})?([/?#]([${UNRESERVED}${SUB}:@/?#]|${PERCENT})*)?`,
  "uri-template": TEMPLATE,
  "idn-email": EMAIL,
  "uri-reference": `(${URI.absolute}|${URI.relative})`,
  uuid: `${HEX}{8}-(${HEX}{4}-){3}${HEX}{12}`,
  "json-pointer": TOKEN,
  "relative-json-pointer": `(0|[1-9][0-9]*)(#|${TOKEN})`,
  "json-pointer-uri-fragment": `#(/([${UNRESERVED.replace("~", "")}${SUB}:@]|${PERCENT}|~[01])*)*`,
  byte: "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
};

/** Of whole numbers, first and last. */
const NUMBERS: Readonly<Record<string, readonly [number, number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  // The largest double that is less than 2 ** 63.
  int64: [-(2 ** 63), 2 ** 63 - 1024],
};

/**
 * Patterns that every text of a format matches, and perhaps others: what does not match is surely not of the format, whichever checker is asked.
 */
const OUTER: Readonly<Record<string, string>> = {
  date: "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
  time: "^[0-9]{2}:",
  "date-time": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]",
  duration: "^P",
  email: "@",
  hostname: "^[A-Za-z0-9.\\-]+$",
  ipv4: `^${IPV4}$`,
  ipv6: ":",
  uri: "^[A-Za-z][A-Za-z0-9+.\\-]*:",
  "uri-reference": "^[!-~]*$",
  iri: ":",
  "iri-reference": "^\\S*$",
  url: "://",
  uuid: "^(urn:uuid:)?[0-9a-fA-F\\-]{36}$",
  "json-pointer": "^(/|$)",
  "relative-json-pointer": "^[0-9]",
  "json-pointer-uri-fragment": "^#",
  byte: "^[A-Za-z0-9+/=\\s]*$",
  "uri-template": "",
  regex: "",
  "idn-email": "@",
  "idn-hostname": "",
  "iso-time": "^[0-9]{2}:",
  "iso-date-time": "^[0-9]{4}-",
};

/** Formats of strings that no grammar can say, or whose checkers know more than the standard says. */
const UNSAID: ReadonlySet<string> = new Set(["regex", "idn-hostname", "iso-time", "iso-date-time"]);

/** Formats that programs write into schemas for other programs: pydantic, zod, OpenAPI's registry. They ask for nothing here. */
const OTHERS: ReadonlySet<string> = new Set(
  (
    "base64 base64url binary char cidrv4 cidrv6 color commonmark cuid cuid2 date-time-local decimal decimal128 directory-path double double-int " +
    "e164 emoji file-path float guid html http-date int16 int8 ipv4interface ipv4network ipv6interface ipv6network ipvanyaddress ipvanyinterface " +
    "ipvanynetwork json-string jwt ksuid lowercase mac markdown media-range multi-host-uri nanoid password path phone safeint textarea time-delta " +
    "time-local uint16 uint32 uint64 uint8 ulid unixtime uppercase uri-path uuid1 uuid3 uuid4 uuid5 uuid6 uuid7 uuid8 xid"
  ).split(" "),
);

/** The formats that ask for something. */
export const FORMATS: readonly string[] = [...Object.keys(STRINGS), ...Object.keys(NUMBERS), ...UNSAID];

/** Whether anybody means something by a format of this name. */
export function isFormat(name: string): boolean {
  return FORMATS.includes(name) || OTHERS.has(name);
}

/** A pattern of whole strings; `null` where the format is known and cannot be said; undefined where it asks nothing of strings. */
export function formatPattern(name: string): string | null | undefined {
  if (Object.hasOwn(STRINGS, name)) return `^(?:${STRINGS[name]})$`;
  return UNSAID.has(name) ? null : undefined;
}

/**
 * A pattern of texts of a format that have at most so many characters, for formats whose characters are too many to count; undefined where there
 * is none. It leaves out some texts that would still be short enough.
 */
export function shortPattern(name: string, most: number): string | undefined {
  return name === "email" && most >= 20 ? `^(?:${shortEmail(most)})$` : undefined;
}

/** A pattern of all texts of a format, and perhaps others; undefined where it asks nothing of strings. */
export function outerPattern(name: string): string | undefined {
  return Object.hasOwn(OUTER, name) ? OUTER[name] : undefined;
}

export function formatRange(name: string): readonly [number, number] | undefined {
  return Object.hasOwn(NUMBERS, name) ? NUMBERS[name] : undefined;
}

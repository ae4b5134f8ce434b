/**
 * Secrets that stand in files of their own, as container engines mount them (`/run/secrets/…`) and systemd hands them over
 * (`LoadCredential=`, `$CREDENTIALS_DIRECTORY`): no list of processes and no environment shows them. The end of the last line is none of them.
 */
import { isAbsolute, join } from "node:path";
import { readPlainFile } from "../common/plain-file.ts";
import { messageOf } from "../errors.ts";

/** A secret of more bytes is another file than was meant. */
const MAX_BYTES = 65_536;

type Found = { readonly found: string | undefined } | { readonly fault: string };

/** @param path absolute, so that it means the same wherever the server is started */
export function secretFile(path: string): Found {
  if (!isAbsolute(path))
    return { fault: `the file ${path} must be given by its whole path, like \${file:/run/secrets/name}.` };
  try {
    return { found: textOf(path) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { found: undefined };
    return { fault: `the file ${path} cannot be read: ${messageOf(error).replace(/\.$/, "")}.` };
  }
}

/** @param name as `LoadCredential=` has it, which is no path */
export function credential(name: string, environment: NodeJS.ProcessEnv): Found {
  const folder = environment["CREDENTIALS_DIRECTORY"];
  if (!/^[^/\\]+$/.test(name) || name === "." || name === "..")
    return { fault: `the credential ${name} must be a name, and no path.` };
  if (!folder) return { found: undefined };
  return secretFile(join(folder, name));
}

function textOf(path: string): string {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(readPlainFile(path, MAX_BYTES));
  if (/[^\P{Cc}\t\r\n]/u.test(text)) throw new Error("it has control characters, so it is no text");
  const secret = text.replace(/\r?\n$/, "");
  if (secret !== "") SECRETS.add(secret);
  return secret;
}

/** All that was read. A secret may stand where none is expected, as in an address, and is none the less one. */
const SECRETS = new Set<string>();

/** Characters by which a secret is known; a shorter one is only as a whole. */
const KNOWN_BY = 6;

/** The secrets that were read since the start. */
export function secretTexts(): readonly string[] {
  return [...SECRETS];
}

/** A text without them, and without the beginning of one that was cut off. */
export function withoutSecretTexts(text: string): string {
  let rest = text;
  for (const secret of SECRETS) {
    if (rest === secret) return HIDDEN;
    if (secret.length < KNOWN_BY) {
      rest = rest.replaceAll(JSON.stringify(secret), JSON.stringify(HIDDEN));
      continue;
    }
    // As sentences quote it, too.
    for (const written of new Set([secret, JSON.stringify(secret).slice(1, -1)])) rest = withoutOne(rest, written);
  }
  return rest;
}

const HIDDEN = "[secret]";

function withoutOne(text: string, secret: string): string {
  const start = secret.slice(0, KNOWN_BY);
  let rest = "";
  let from = 0;
  for (let at = text.indexOf(start); at >= 0; at = text.indexOf(start, from)) {
    let length = KNOWN_BY;
    while (length < secret.length && text[at + length] === secret[length]) length++;
    rest += text.slice(from, at) + HIDDEN;
    from = at + length;
  }
  return rest + text.slice(from);
}

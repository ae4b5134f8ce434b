/**
 * A certificate authority of one's own (`tls.ca`), which this process believes wherever it asks a server, beside those that Node and the system
 * know. Processes that it starts get the file's path by their environment. Nothing turns the checks off.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { AltLasError, messageOf } from "../errors.ts";

/** The variable by which child processes are told of the file. */
const VARIABLE = "ALT_LAS_CA";

/** Variables of the environment that a child process has to be given. */
export function authorityForChildren(): Readonly<Record<string, string>> {
  return believed === null ? {} : { [VARIABLE]: believed };
}

/** The file that is believed by now. */
let believed: string | null = null;

/** @throws {AltLasError} `bad_config`: the file cannot be read, or has no certificate */
export function believeAuthority(path: string | undefined): void {
  if (path === undefined) return;
  let own: readonly string[];
  try {
    own = readAuthorities(path);
  } catch (error) {
    throw new AltLasError("bad_config", `tls.ca: ${messageOf(error)}`, { cause: error });
  }
  setDefaultCACertificates([...getCACertificates("default"), ...getCACertificates("system"), ...own]);
  believed = resolve(path);
}

/** For a process that another one has started, before it asks a server. A file that has gone since is for that server's own refusal. */
export function believeInherited(): void {
  const path = process.env[VARIABLE];
  if (path === undefined) return;
  try {
    believeAuthority(path);
  } catch {
    // The server is asked, and says that its certificate is not believed.
  }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----/gs;

/** The certificates in a PEM file. @throws {Error} with a sentence: there is none, or one is damaged */
export function readAuthorities(path: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`${path} cannot be read: ${messageOf(error)}.`, { cause: error });
  }
  const found = text.match(CERTIFICATE) ?? [];
  if (found.length === 0) throw new Error(`${path} has no certificate in the PEM format.`);
  for (const [index, one] of found.entries()) {
    try {
      void new X509Certificate(one);
    } catch (error) {
      throw new Error(`certificate ${index + 1} of ${path} is damaged: ${messageOf(error)}.`, { cause: error });
    }
  }
  return found;
}

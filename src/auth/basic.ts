/** Reads HTTP Basic credentials (RFC 7617), in the encodings that clients really send. */
import { isUtf8 } from "node:buffer";

export interface Login {
  readonly user: string;
  readonly password: string;
}

/** Windows' Turkish, which has all of ISO-8859-9. */
const TURKISH = new TextDecoder("windows-1254");

/**
 * The ways to read them, the likeliest first. Bytes that are valid UTF-8 are UTF-8. Others are in an older encoding: Python's requests sends ISO-8859-1,
 * a Turkish terminal ISO-8859-9, and they differ in six letters (ğ ı ş Ğ İ Ş), so that there may be two readings.
 * @param encoded in base64; empty: it has no colon
 */
export function loginsIn(encoded: string): readonly Login[] {
  const bytes = Buffer.from(encoded, "base64");
  const texts = isUtf8(bytes) ? [bytes.toString("utf8")] : [bytes.toString("latin1"), TURKISH.decode(bytes)];
  return [...new Set(texts)].flatMap((text) => {
    const colon = text.indexOf(":");
    if (colon === -1) return [];
    return [{ user: text.slice(0, colon).normalize("NFC"), password: text.slice(colon + 1) }];
  });
}

/** Certificates that a test makes for itself: X.509, version 1, signed by their own key or by that of another one. */
import { generateKeyPairSync, sign } from "node:crypto";

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const UTF8 = 0x0c;
const UTC_TIME = 0x17;
const OID = 0x06;
/** ecdsa-with-SHA256, and commonName. */
const SIGNATURE = der(SEQUENCE, der(OID, Buffer.from("2a8648ce3d040302", "hex")));
const COMMON_NAME = der(OID, Buffer.from("550403", "hex"));

/** A certificate and its key, as PEM. */
export interface Certified {
  readonly cert: string;
  readonly key: string;
  /** The name that it is made for. */
  readonly name: string;
}

/** @param authority signs it; left out: its own key does @param until as X.509 has it */
export function newCertificate(name: string, authority?: Certified, until = "491231235959Z"): Certified {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuer = nameIn(authority?.name ?? name);
  const validity = der(SEQUENCE, time("250101000000Z"), time(until));
  const serial = der(INTEGER, Buffer.from([1]));
  const own = publicKey.export({ type: "spki", format: "der" });
  const body = der(SEQUENCE, serial, SIGNATURE, issuer, validity, nameIn(name), own);
  const signature = der(BIT_STRING, Buffer.from([0]), sign("sha256", body, authority?.key ?? privateKey));
  const whole = der(SEQUENCE, body, SIGNATURE, signature).toString("base64");
  const lines = whole.match(/.{1,64}/g)!.join("\n");
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    name,
  };
}

function nameIn(name: string): Buffer {
  return der(SEQUENCE, der(SET, der(SEQUENCE, COMMON_NAME, der(UTF8, Buffer.from(name)))));
}

function time(text: string): Buffer {
  return der(UTC_TIME, Buffer.from(text));
}

function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

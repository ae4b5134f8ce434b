/** How API keys and passwords become something that may be stored. */
import { createHash, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { AltLasError } from "../errors.ts";
import { ALT_LAS } from "../common/paste.ts";

const derive = promisify<string, Buffer, number, ScryptCost & { maxmem: number }, Buffer>(scrypt);

/** scrypt's N, r and p: it needs 128 · N · r bytes, and time in proportion to N · r · p. */
export interface ScryptCost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/**
 * The cost of a new password hash: 32 MiB and about 0.1 to 0.3 s of one core, as the OWASP password storage cheat sheet asks
 * of scrypt at this N. The cost is part of each hash, so raising it here leaves old hashes valid.
 */
export const PASSWORD_COST: ScryptCost = { N: 2 ** 15, r: 8, p: 3 };

/** A configured hash may cost more than ours, but not so much that one login takes the server down. */
const MAX_SCRYPT_BYTES = 512 * 1024 * 1024;
const MAX_SCRYPT_P = 64;
const HASH_BYTES = 32;
const SALT_BYTES = 16;

export const MIN_PASSWORD_LENGTH = 8;

interface ParsedHash {
  readonly cost: ScryptCost;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/** A new API key: `altlas_` and 256 random bits in base64url. */
export function newApiKey(): string {
  return `altlas_${randomBytes(32).toString("base64url")}`;
}

/** The form in which an API key is stored. SHA-256 is enough for a secret that nobody can guess. */
export function hashApiKey(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

/** `scrypt$N$r$p$salt$hash`, salt and hash in base64url. */
export async function hashPassword(password: string, cost: ScryptCost = PASSWORD_COST): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  return format(cost, salt, await run(password, salt, HASH_BYTES, cost));
}

/** A hash that no password has, but that takes as long to find out. */
export function unmatchableHash(): string {
  return format(PASSWORD_COST, randomBytes(SALT_BYTES), randomBytes(HASH_BYTES));
}

function format({ N, r, p }: ScryptCost, salt: Buffer, hash: Buffer): string {
  return `scrypt$${N}$${r}$${p}$${salt.toString("base64url")}$${hash.toString("base64url")}`;
}

/** Whether `stored` was made from `password`; compared in constant time. */
export async function verifyPassword(password: string, stored: string): Promise<boolean> {
  const { cost, salt, hash } = parseHash(stored, "a password hash");
  return timingSafeEqual(await run(password, salt, hash.length, cost), hash);
}

/**
 * Refuses a stored hash that could not be verified later.
 * @param where names the hash in the sentence
 * @throws {AltLasError} `bad_config`
 */
export function checkPasswordHash(stored: string, where: string): void {
  parseHash(stored, where);
}

function parseHash(stored: string, where: string): ParsedHash {
  const [scheme, N, r, p, salt, hash] = stored.split("$");
  const cost = { N: Number(N), r: Number(r), p: Number(p) };
  const bytes = Buffer.from(hash ?? "", "base64url");
  if (scheme !== "scrypt" || !isUsable(cost) || bytes.length < 16) {
    throw new AltLasError("bad_config", `${where} is not a hash as "${ALT_LAS} users hash" prints it.`);
  }
  return { cost, salt: Buffer.from(salt ?? "", "base64url"), hash: bytes };
}

function isUsable({ N, r, p }: ScryptCost): boolean {
  const powerOfTwo = Number.isSafeInteger(N) && N > 1 && Number.isInteger(Math.log2(N));
  return powerOfTwo && r >= 1 && p >= 1 && p <= MAX_SCRYPT_P && 128 * N * r <= MAX_SCRYPT_BYTES;
}

function run(password: string, salt: Buffer, length: number, cost: ScryptCost): Promise<Buffer> {
  // The same characters can be typed as different code points; NFC makes them one password (RFC 8265).
  return derive(password.normalize("NFC"), salt, length, { ...cost, maxmem: 2 * MAX_SCRYPT_BYTES });
}

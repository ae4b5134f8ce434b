/**
 * Credentials of NATS for a cluster: JWTs that one key signs, that of the cluster's account. A NATS server knows the account, and lets in whom the
 * key has signed; each may do what it has to, and nothing else.
 */
import { randomUUIDv7 } from "node:crypto";
import { optionalPackage } from "../common/optional-package.ts";
import { AltLasError } from "../errors.ts";
import { agentMayHear, agentMaySay, JOINED, JOINS, SERVERS_MAY } from "./messages.ts";

/** Seconds for which a token may be used. */
export const TOKEN_SECONDS = 3600;

/** An account as the configuration of a NATS server names it. */
export interface NatsAccount {
  /** Its public key. */
  readonly key: string;
  readonly jwt: string;
}

/** The accounts that `alt-las cluster init` makes. */
export interface Account extends NatsAccount {
  /** For the configuration of the NATS servers. */
  readonly operator: string;
  /** The account of those who administer the NATS servers. */
  readonly system: NatsAccount;
  /** With these the credentials of a machine are revoked. */
  readonly operatorKeys: OperatorKeys;
  /** Signs machines and tokens. */
  readonly seed: string;
  /** Of servers of ALT_LAS, as a file of NATS. */
  readonly serverCredentials: string;
}

/** Absent limits are 0. */
const ANY = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, conn: -1, leaf: -1 };
const NO_LIMITS = { ...ANY, wildcards: true, disallow_bearer: true };

export interface Token {
  readonly id: string;
  readonly jwt: string;
  readonly seed: string;
}

/** Seeds of the keys that sign what the NATS servers know of the account. */
export interface OperatorKeys {
  readonly operator: string;
  /** Of the system account, which may tell the NATS servers. */
  readonly system: string;
}

export async function newAccount(): Promise<Account> {
  const { createAccount, createOperator, encodeOperator } = await library();
  const [operatorKey, accountKey, systemKey] = [createOperator(), createAccount(), createAccount()];
  const [operator, seed, system] = [operatorKey, accountKey, systemKey].map((key) => text(key.getSeed())) as Seeds;
  const system_account = systemKey.getPublicKey();
  return {
    operator: await encodeOperator("alt-las", operatorKey, { system_account }),
    ...(await accountJwt(seed, operator)),
    system: await accountJwt(system, operator, {}, "system"),
    operatorKeys: { operator, system },
    seed,
    serverCredentials: await newCredentials(seed, "server", { publish: SERVERS_MAY, subscribe: SERVERS_MAY }),
  };
}

type Seeds = [string, string, string];

/** By public keys of users, Unix seconds: credentials that were made until then count no more. */
export type Revoked = Readonly<Record<string, number>>;

/** Their keys come never again. */
const FOR_EVER = 2 ** 40;

/** @param users public keys */
export function revokedForEver(users: readonly string[]): Revoked {
  return Object.fromEntries(users.map((user) => [user, FOR_EVER]));
}

/** @param jwt of an account, as a NATS server has it @param operator the seed of the key that has signed it @returns none, where it is no such JWT */
export async function revokedIn(jwt: string, operator: string): Promise<Revoked> {
  const { decode, fromSeed } = await library();
  try {
    const { iss, nats } = decode<{ readonly revocations?: Revoked }>(jwt);
    return iss === fromSeed(bytes(operator)).getPublicKey() ? (nats.revocations ?? {}) : {};
  } catch {
    return {};
  }
}

/** @param seed of the account @param operator the seed of whose key signs it */
export async function accountJwt(
  seed: string,
  operator: string,
  revocations: Revoked = {},
  name = "alt-las",
): Promise<NatsAccount> {
  const { encodeAccount, fromPublic, fromSeed } = await library();
  const key = await keyOf(seed);
  const signer = fromSeed(bytes(operator));
  return { key, jwt: await encodeAccount(name, fromPublic(key), { limits: NO_LIMITS, revocations }, { signer }) };
}

/** Of one who may tell the NATS servers of an account anew, for an hour. @param account its public key */
export async function systemCredentials(seed: string, account: string, now: number): Promise<string> {
  const until = Math.floor(now / 1000) + TOKEN_SECONDS;
  return newCredentials(seed, "revocations", {
    publish: [updatesOf(account), lookupsOf(account)],
    subscribe: ["_INBOX.>"],
    until,
  });
}

/** The subject on which NATS servers are told of an account anew. */
export function updatesOf(account: string): string {
  return `$SYS.REQ.ACCOUNT.${account}.CLAIMS.UPDATE`;
}

/** The subject on which they say what they know of it. */
export function lookupsOf(account: string): string {
  return `$SYS.REQ.ACCOUNT.${account}.CLAIMS.LOOKUP`;
}

/** @param key the public one of a machine, whose other half stays there @throws {AltLasError} `invalid_input`: it is none */
export async function machineJwt(seed: string, machine: string, key: string): Promise<string> {
  const { fromPublic } = await library();
  try {
    if (!key.startsWith("U")) throw new Error("it is of no user");
    fromPublic(key);
  } catch (error) {
    throw new AltLasError("invalid_input", "its key is no public key of a NATS user", { cause: error });
  }
  return signed(seed, machine, key, { publish: agentMaySay(machine), subscribe: agentMayHear(machine) });
}

/** Bytes of a message of one who has a token. */
const TOKEN_PAYLOAD = 4096;

/**
 * @param now Unix milliseconds
 * @param machine for whom it is; left out: for any machine that is new
 * @returns the part behind the `#` of what an agent is given
 */
export async function newToken(seed: string, now: number, machine?: string): Promise<string> {
  const { createUser } = await library();
  const [id, user] = [randomUUIDv7() + (machine === undefined ? "" : `-${machine}`), createUser()];
  const until = Math.floor(now / 1000) + TOKEN_SECONDS;
  const may = { publish: [JOINS + id], subscribe: [JOINED + id], until, payload: TOKEN_PAYLOAD };
  return `${await signed(seed, id, user.getPublicKey(), may)}.${text(user.getSeed())}`;
}

/** @param id of a token, which its holder cannot choose @returns for whom it is; undefined: for any machine that is new */
export function machineOf(id: string): string | undefined {
  return id.slice(UUID_LENGTH + 1) || undefined;
}

const UUID_LENGTH = 36;

/** @param id of a token @returns when it was made, in Unix milliseconds */
export function madeAt(id: string): number {
  return Number.parseInt(id.slice(0, 13).replace("-", ""), 16);
}

/** @returns null: it is no token */
export function tokenOf(given: string): Token | null {
  const [head, claims, signature, seed, ...more] = given.split(".");
  const jwt = [head, claims, signature].join(".");
  const name = claimsOf(jwt)?.name;
  if (typeof name !== "string" || seed === undefined || !/^SU[A-Z2-7]{56}$/.test(seed) || more.length > 0) return null;
  return { id: name, jwt, seed };
}

/** A new key of a user of NATS. */
export async function newSeed(): Promise<string> {
  return text((await library()).createUser().getSeed());
}

/** Its public half. @throws {AltLasError} `bad_config`: it is none */
export async function keyOf(seed: string): Promise<string> {
  const { fromSeed } = await library();
  try {
    return fromSeed(bytes(seed.trim())).getPublicKey();
  } catch (error) {
    throw new AltLasError("bad_config", "A file that should have a key of NATS has none.", { cause: error });
  }
}

/** A file of credentials, as the tools of NATS read and write it. */
export function credentialsFile(jwt: string, seed: string): string {
  return [
    "-----BEGIN NATS USER JWT-----",
    jwt,
    "------END NATS USER JWT------",
    "",
    "-----BEGIN USER NKEY SEED-----",
    seed,
    "------END USER NKEY SEED------",
    "",
  ].join("\n");
}

/** Of a file of credentials: for whom they are, and who has signed them. null: it is none. */
export function holderOf(file: string): { readonly name: string; readonly issuer: string } | null {
  const { name, iss: issuer } = claimsOf(jwtIn(file)) ?? {};
  return typeof name === "string" && typeof issuer === "string" ? { name, issuer } : null;
}

/** Whether a file of credentials lets its holder publish to a subject, as far as it says. */
export function maySay(file: string, subject: string): boolean {
  const { nats } = claimsOf(jwtIn(file)) ?? {};
  const allowed = (nats as { pub?: { allow?: unknown } } | undefined)?.pub?.allow;
  return !Array.isArray(allowed) || allowed.some((one) => isWithin(subject.split("."), String(one).split(".")));
}

function isWithin(subject: readonly string[], [first, ...rest]: readonly string[]): boolean {
  const [part, ...others] = subject;
  if (first === ">" || part === undefined || first === undefined) return first === ">" || part === first;
  return (first === "*" || first === part) && isWithin(others, rest);
}

function jwtIn(file: string): string {
  return /^-+BEGIN NATS USER JWT-+\s+(\S+)/m.exec(file)?.[1] ?? "";
}

/** Not verified: the NATS server does that. */
export function claimsOf(
  jwt: string,
): { readonly name?: unknown; readonly iss?: unknown; readonly nats?: unknown } | null {
  try {
    const claims: unknown = JSON.parse(Buffer.from(jwt.split(".")[1] ?? "", "base64url").toString());
    return typeof claims === "object" ? claims : null;
  } catch {
    return null;
  }
}

interface May {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** Unix seconds; absent: for ever. */
  readonly until?: number;
  /** Bytes of a message; absent: what the NATS server takes. */
  readonly payload?: number;
}

async function newCredentials(seed: string, name: string, may: May): Promise<string> {
  const own = await newSeed();
  return credentialsFile(await signed(seed, name, await keyOf(own), may), own);
}

async function signed(seed: string, name: string, key: string, may: May): Promise<string> {
  const { publish, subscribe, until, payload = -1 } = may;
  const { encodeUser, fromPublic, fromSeed } = await library();
  const allow = { pub: { allow: [...publish] }, sub: { allow: [...subscribe] }, payload };
  return encodeUser(name, fromPublic(key), fromSeed(bytes(seed)), allow, until === undefined ? {} : { exp: until });
}

function library(): Promise<typeof import("@nats-io/jwt")> {
  const sentence =
    "Tokens need the npm package @nats-io/jwt, which was left out (--omit=optional?); install it with npm install @nats-io/jwt.";
  return optionalPackage(() => import("@nats-io/jwt"), sentence);
}

function text(seed: Uint8Array): string {
  return new TextDecoder().decode(seed);
}

function bytes(seed: string): Uint8Array {
  return new TextEncoder().encode(seed);
}

/** With which credentials an agent connects: those of its machine, which a token brings once. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { writePrivateFile } from "../common/json-file.ts";
import { AltLasError, messageOf } from "../errors.ts";
import type { Bus } from "./bus.ts";
import { claimsOf, credentialsFile, holderOf, keyOf, maySay, newSeed, type Token, tokenOf } from "./credentials.ts";
import { BEAT_MS, type JoinAnswer, JOINED, JOINS, textTo } from "./messages.ts";
import { isRefusal, openNats } from "./nats-bus.ts";

export interface JoinPlace {
  /** Without a token. */
  readonly urls: readonly string[];
  /** As it was given; undefined: none was. */
  readonly token: string | undefined;
  readonly machine: string;
  readonly dataDir: string;
  readonly log: Logger;
}

/** Milliseconds that a server has to answer. */
const PATIENCE = 15_000;
const FILE = "machine.creds";
/** The machine's key while it joins: one that dies meanwhile asks again with the same one, as a token is for one key. */
const KEY_FILE = "machine.nk";

/**
 * Connects a machine with the credentials that it has, or gets by its token. A machine that was locked out, and has a new token, joins anew.
 * @throws {AltLasError} `bad_config`, `conflict`: the NATS servers cannot be used, the token neither, or it is another machine's
 */
export async function connectMachine(place: JoinPlace): Promise<Bus> {
  const { urls, machine, token, log } = place;
  const connect = (credentials: string | undefined): Promise<Bus> =>
    openNats({ urls, credentials, name: `alt-las agent ${machine}`, log });
  const before = fileIn(join(place.dataDir, FILE));
  const credentials = await credentialsOfMachine(place);
  try {
    return await connect(credentials);
  } catch (error) {
    if (!(await isRefusal(error))) throw error;
    if (token === undefined) refuse(`${messageOf(error)} ${TOKEN_FIRST}`);
    if (credentials !== before) throw error;
    log.warn({ machine }, "the NATS servers refuse this machine's credentials: it joins with its token");
    return connect(await joined(tokenOf(token)!, place));
  }
}

/** Whether this machine may tell servers that stand by what they read: one that was let in by an earlier version may not. @param credentials that it was given; undefined: those of its own */
export function mayTell(credentials: string | undefined, { dataDir, machine, log }: JoinPlace): boolean {
  const own = credentials ?? fileIn(join(dataDir, FILE));
  if (own === undefined || maySay(own, textTo(machine, "*"))) return true;
  log.warn(
    { machine },
    "credentials of an earlier version: text that is read at servers that stand by comes through the one that leads; alt-las cluster token NAME prints the line to join anew",
  );
  return false;
}

/** @returns a file of credentials; undefined: this machine has none */
async function credentialsOfMachine(place: JoinPlace): Promise<string | undefined> {
  const { dataDir, machine, token: given } = place;
  const path = join(dataDir, FILE);
  const token = given === undefined ? undefined : (tokenOf(given) ?? refuse(NO_TOKEN));
  const known = fileIn(path);
  const holder = known === undefined ? null : holderOf(known);
  if (known !== undefined && holder === null)
    refuse(`${path} is no file of NATS credentials; remove it and join anew.`);
  if (holder !== null && (token === undefined || claimsOf(token.jwt)?.iss === holder.issuer)) {
    if (holder.name === machine) return known;
    const how = `Give --name ${holder.name}, or remove that file and join with a new token`;
    refuse(`${path} has the credentials of machine ${holder.name}, and this is machine ${machine}. ${how}.`);
  }
  return token && joined(token, place);
}

/** @returns the new credentials, which are stored */
async function joined(token: Token, place: JoinPlace): Promise<string> {
  const { dataDir, machine, log } = place;
  const file = join(dataDir, FILE);
  const credentials = await joinWith(token, place);
  writePrivateFile(file, credentials);
  rmSync(join(dataDir, KEY_FILE), { force: true });
  log.info({ machine, file }, "this machine has joined the cluster; its token is used up");
  return credentials;
}

async function joinWith(token: Token, { urls, machine, dataDir, log }: JoinPlace): Promise<string> {
  const keyFile = join(dataDir, KEY_FILE);
  const seed = fileIn(keyFile) ?? (await newSeed());
  writePrivateFile(keyFile, seed);
  const credentials = credentialsFile(token.jwt, token.seed);
  const bus = await openNats({ urls, name: `alt-las join ${machine}`, credentials, log }).catch(
    async (error: unknown) => {
      if (!(await isRefusal(error))) throw error;
      return refuse(`The token has expired, or is of another NATS server: ${AGAIN}`);
    },
  );
  try {
    const { jwt, refused } = await answerTo(bus, token, { machine, key: await keyOf(seed) });
    if (refused !== undefined) throw new AltLasError("conflict", refused);
    return jwt === undefined
      ? refuse(`A server has answered without credentials: ${AGAIN}`)
      : credentialsFile(jwt, seed);
  } finally {
    await bus.close();
  }
}

/** Asks until it is answered: messages may be lost. */
async function answerTo(bus: Bus, { id }: Token, request: object): Promise<JoinAnswer> {
  const answered = Promise.withResolvers<JoinAnswer>();
  const end = bus.listen(JOINED + id, (message) => answered.resolve(message as JoinAnswer));
  const ask = (): void => bus.send(JOINS + id, request);
  const timer = setInterval(ask, BEAT_MS);
  const late = setTimeout(() => answered.reject(new AltLasError("bad_config", NOBODY)), PATIENCE);
  ask();
  try {
    return await answered.promise;
  } finally {
    clearInterval(timer);
    clearTimeout(late);
    end();
  }
}

const AGAIN = "alt-las cluster token prints another one.";
const TOKEN_FIRST = "At a server, alt-las cluster token prints the line with which a machine joins, or joins again.";
const NO_TOKEN = `What stands behind # in --join is no token: ${AGAIN}`;
const NOBODY =
  "No server has answered for 15 s. The token can be used as soon as one leads that has cluster.signing_key, within the hour.";

function fileIn(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return undefined;
    throw new AltLasError("bad_config", `${path} cannot be read.`, { cause: error });
  }
}

function refuse(sentence: string): never {
  throw new AltLasError("bad_config", sentence);
}

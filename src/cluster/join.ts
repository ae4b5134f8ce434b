/** With which credentials an agent connects: those of its machine, which a token brings once. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { writePrivateFile } from "../common/json-file.ts";
import { AltLasError } from "../errors.ts";
import type { Bus } from "./bus.ts";
import { claimsOf, credentialsFile, holderOf, keyOf, newSeed, type Token, tokenOf } from "./credentials.ts";
import { BEAT_MS, type JoinAnswer, JOINED, JOINS } from "./messages.ts";
import { openNats } from "./nats-bus.ts";

export interface JoinPlace {
  /** Without a token. */
  readonly url: string;
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
 * @returns a file of credentials; undefined: this machine has none
 * @throws {AltLasError} `bad_config`, `conflict`: the token cannot be used, or is another machine's
 */
export async function credentialsOfMachine(place: JoinPlace): Promise<string | undefined> {
  const { dataDir, machine, token: given, log } = place;
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
  if (token === undefined) return undefined;
  const credentials = await joinWith(token, place);
  writePrivateFile(path, credentials);
  rmSync(join(dataDir, KEY_FILE), { force: true });
  log.info({ machine, file: path }, "this machine has joined the cluster; its token is used up");
  return credentials;
}

async function joinWith(token: Token, { url, machine, dataDir, log }: JoinPlace): Promise<string> {
  const keyFile = join(dataDir, KEY_FILE);
  const seed = fileIn(keyFile) ?? (await newSeed());
  writePrivateFile(keyFile, seed);
  const credentials = credentialsFile(token.jwt, token.seed);
  const bus = await openNats({ url, name: `alt-las join ${machine}`, credentials, log }).catch((error: unknown) => {
    if (!/authori[sz]ation|authentication|expired/i.test(String(error))) throw error;
    return refuse(`The token has expired, or is of another NATS server: ${AGAIN}`);
  });
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

/**
 * The services of deploy/compose.cluster.yaml without Docker: their own commands, files and environments, as processes of this machine. Each has
 * a loopback address of its own in the place of its name, and below a folder of its own what its volumes bring.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import { BIN, type Owner, ROOT, runProgram } from "./server.ts";
import { type Ran, succeed } from "./stranger.ts";

const DEPLOY = join(ROOT, "deploy");
const DOCKERFILE = readFileSync(join(DEPLOY, "Dockerfile"), "utf8");
/** Where the image starts its commands, and finds their configuration. */
const WORKDIR = [...DOCKERFILE.matchAll(/^WORKDIR (\S+)$/gm)].at(-1)![1]!;
const DATA_DIR = /ALT_LAS_DATA_DIR=(\S+)/.exec(DOCKERFILE)![1]!;
/** The check of the image, which is of services, too. */
export const HEALTHCHECK = JSON.parse(/^HEALTHCHECK .* CMD (\[.*\])$/m.exec(DOCKERFILE)![1]!) as readonly string[];

export interface Service {
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly healthcheck?: { readonly test?: readonly string[] };
}

export class Composed {
  readonly services: Readonly<Record<string, Service>>;
  readonly #owner: Owner;
  /** As the one that has the file. */
  readonly #folder: string;
  readonly #env: Readonly<Record<string, string>>;
  /** Others may run the same test on this machine. */
  readonly #network = `127.${randomInt(1, 255)}.${randomInt(1, 255)}`;

  /** @param folder has `keys` @param env the variables that whoever types `docker compose up` has set */
  constructor(owner: Owner, folder: string, env: Readonly<Record<string, string>>) {
    this.#owner = owner;
    this.#folder = folder;
    this.#env = env;
    const text = readFileSync(join(DEPLOY, "compose.cluster.yaml"), "utf8");
    this.services = (parse(text, { merge: true }) as { services: Record<string, Service> }).services;
  }

  /** In the place of a service's name. */
  addressOf(name: string): string {
    return `${this.#network}.${Object.keys(this.services).indexOf(name) + 1}`;
  }

  /** As Compose puts variables into a text. */
  filledIn(text: string, more: Readonly<Record<string, string>> = {}): string {
    return text.replace(/\$\{(\w+)(?::([?-])([^}]*))?\}/g, (_all, name: string, kind?: string, rest = "") => {
      const value = { ...this.#env, ...more }[name];
      if (value !== undefined) return value;
      if (kind !== "-") throw new Error(`${name} is not set`);
      return rest as string;
    });
  }

  /** As it is in its container. */
  environmentOf(name: string): Record<string, string> {
    const given = Object.entries(this.services[name]!.environment ?? {});
    return Object.fromEntries(given.map(([key, value]) => [key, this.filledIn(value)]));
  }

  /** Brings a service's files where its processes find them. */
  mount(name: string): void {
    for (const volume of this.services[name]!.volumes ?? []) {
      const [from, to] = volume.split(":") as [string, string];
      const place = this.#within(name, to);
      mkdirSync(dirname(place), { recursive: true });
      if (!from.startsWith("./")) mkdirSync(place);
      else this.#bring(name, from, place);
    }
  }

  #bring(name: string, from: string, place: string): void {
    const source = join(from.startsWith("./keys/") ? this.#folder : DEPLOY, from);
    if (!existsSync(source)) throw new Error(`${name} mounts ${from}, which is not there`);
    if (statSync(source).isDirectory()) symlinkSync(source, place);
    else if (/\.(?:yaml|conf)$/.test(from)) writeFileSync(place, this.#here(name, readFileSync(source, "utf8")));
    else copyFileSync(source, place);
  }

  /** Starts the command of a service. @param env more variables of Compose */
  start(name: string, env: Readonly<Record<string, string>> = {}): Started {
    const { command = [] } = this.services[name]!;
    return this.#run(
      name,
      name.startsWith("nats-") ? "nats-server" : "alt-las",
      command.map((word) => this.filledIn(word, env)),
    );
  }

  /** As `docker compose exec`. */
  exec(name: string, command: readonly string[]): Promise<Ran> {
    const [program, args] = this.#program(command[0]!, name, command.slice(1));
    return runProgram(program, args, { cwd: this.#cwd(name), env: this.#environment(name) });
  }

  #run(name: string, program: string, args: readonly string[]): Started {
    const [file, words] = this.#program(program, name, args);
    return new Started(this.#owner, file, words, {
      cwd: this.#cwd(name),
      env: { ...process.env, ...this.#environment(name) },
    });
  }

  #program(program: string, name: string, args: readonly string[]): [string, string[]] {
    const here = args.map((word) => this.#here(name, word));
    return program === "alt-las" ? [process.execPath, [BIN, ...here]] : [program, here];
  }

  #environment(name: string): Record<string, string> {
    const given = Object.entries(this.environmentOf(name)).map(([key, value]) => [key, this.#here(name, value)]);
    return { ALT_LAS_DATA_DIR: this.#within(name, DATA_DIR), ...Object.fromEntries(given) };
  }

  #cwd(name: string): string {
    const place = this.#within(name, WORKDIR);
    mkdirSync(place, { recursive: true });
    return place;
  }

  #within(name: string, path: string): string {
    return join(this.#folder, "services", name, path);
  }

  /** A text of a service as it is on this machine: only what its volumes bring is there. */
  #here(name: string, text: string): string {
    const brought = (this.services[name]!.volumes ?? []).map((volume) => volume.split(":")[1]!);
    const paths = new RegExp(brought.toSorted((one, other) => other.length - one.length).join("|"), "g");
    const nats = ["nats-1", "nats-2", "nats-3"].map((one) => `tls://${this.addressOf(one)}:4222`).join(",");
    return text
      .replace(paths, (path) => this.#within(name, path))
      .replaceAll("tls://nats:4222", nats)
      .replaceAll("0.0.0.0", this.addressOf(name))
      .replaceAll(/(?<=[@/])([a-z]+(?:-\d)?)(?=:\d)/g, (host: string) =>
        host in this.services ? this.addressOf(host) : host,
      );
  }
}

/** A process of a service. */
export class Started {
  readonly process: ChildProcess;
  readonly exit: Promise<number | null>;
  said = "";

  constructor(owner: Owner, program: string, args: readonly string[], options: object) {
    this.process = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.process.stdout!, this.process.stderr!])
      stream.setEncoding("utf8").on("data", (text: string) => (this.said += text));
    this.exit = once(this.process, "close").then(([code]) => code as number | null);
    owner.after(() => this.kill());
  }

  /** Waits until it has said something. @throws {Error} with what it said instead */
  async says(what: RegExp): Promise<void> {
    const said = Promise.withResolvers<void>();
    void this.exit.then(() => said.reject(new Error(this.said)));
    const look = (): void => void (what.test(this.said) && said.resolve());
    for (const stream of [this.process.stdout!, this.process.stderr!]) stream.on("data", look);
    look();
    await said.promise;
  }

  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.exit;
  }
}

/** An authority, and a certificate of it for these addresses: `ca.pem`, `cert.pem`, `key.pem` in a folder. */
export async function certify(folder: string, addresses: readonly string[]): Promise<void> {
  const ec = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
  const names = ["DNS:localhost", "IP:127.0.0.1", ...addresses.map((address) => `IP:${address}`)].join();
  writeFileSync(join(folder, "extensions"), `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`);
  await succeed(
    `openssl req -x509 ${ec} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem 2>&1
     openssl req -new ${ec} -subj /CN=servers -keyout key.pem -out request 2>&1
     openssl x509 -req -in request -CA ca.pem -CAkey ca.key -set_serial 2 -days 2 -extfile extensions -out cert.pem 2>&1
     rm ca.key request extensions`,
    folder,
  );
}

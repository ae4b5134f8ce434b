/** The keys of the configuration, as the schema has them: which there are, when a change to one counts, and what must not be shown. */
import { fieldName } from "../common/validation.ts";
import { partsAt, type SchemaPart } from "./environment.ts";
import type { Path } from "./findings.ts";
import { type Config, ConfigSchema } from "./schema.ts";
import { withoutSecretTexts } from "./secret-files.ts";

/** The parts of a schema that say which keys there are. */
interface Part {
  readonly properties?: Readonly<Record<string, Part>>;
  readonly patternProperties?: Readonly<Record<string, Part>>;
  /** Our own keyword: see `Counts`. It holds for all that is inside, too. */
  readonly live?: true | "file";
}

/** When a change counts: `now`, however it is made; `reload`: at once, but only by the file; `start`: from the next start. */
export type Counts = "now" | "reload" | "start";

/** A value that is no section: a list counts as a whole. */
export interface Leaf {
  readonly path: Path;
  readonly value: unknown;
}

const ROOT = ConfigSchema as unknown as Part;

function isSection({ properties, patternProperties }: Part): boolean {
  return properties !== undefined || patternProperties !== undefined;
}

function inside({ properties = {}, patternProperties = {} }: Part, key: string | number): Part | undefined {
  return Object.hasOwn(properties, key) ? properties[key] : Object.values(patternProperties)[0];
}

function partAt(path: Path): Part | undefined {
  return path.reduce<Part | undefined>((part, key) => part && inside(part, key), ROOT);
}

/** Whether the schema knows a key. */
export function isKey(path: Path): boolean {
  return partAt(path) !== undefined;
}

export function countsFrom(path: Path): Counts {
  let part: Part | undefined = ROOT;
  let live = ROOT.live;
  for (const key of path) {
    part = part && inside(part, key);
    live = part?.live ?? live;
  }
  return live === true ? "now" : live === "file" ? "reload" : "start";
}

/** The values in a configuration, or in a part of one; what is no key of the schema is a value, too. */
export function* leavesOf(value: unknown, path: Path = [], part: Part | undefined = ROOT): Iterable<Leaf> {
  if (part === undefined || !isSection(part) || !isObject(value)) {
    yield { path, value };
    return;
  }
  for (const [key, inner] of Object.entries(value)) yield* leavesOf(inner, [...path, key], inside(part, key));
}

/** Keys and sections whose changes count while the server runs; without those inside one of them. */
export const LIVE_KEYS: readonly Path[] = [...liveIn(ROOT, [])];

function* liveIn(part: Part, path: Path): Iterable<Path> {
  if (part.live !== undefined) yield path;
  else for (const [key, inner] of Object.entries(part.properties ?? {})) yield* liveIn(inner, [...path, key]);
}

/** Every key that may be changed by `PATCH /config`, like `gpu.multi_gpu.strategies`; with `*` for names that people choose. */
export function changeableKeys(): readonly string[] {
  return [...everyKey(ROOT, [])].filter((path) => countsFrom(path) === "now").map((path) => keyName(path));
}

function* everyKey(part: Part, path: Path): Iterable<Path> {
  if (!isSection(part)) yield path;
  for (const [key, inner] of Object.entries(part.properties ?? {})) yield* everyKey(inner, [...path, key]);
  for (const inner of Object.values(part.patternProperties ?? {})) yield* everyKey(inner, [...path, "*"]);
}

/** Like `gpu.multi_gpu.strategies`. */
export function keyName(path: Path): string {
  return fieldName(path, "the configuration");
}

/** undefined: there is nothing. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (part, key) => (isObject(part) && Object.hasOwn(part, key) ? part[key] : undefined),
    value,
  );
}

/** A copy with another value at a path; undefined: with none. */
export function withValue(value: unknown, path: Path, inner: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return inner;
  const own = isObject(value) ? value : {};
  if (inner === undefined && !Object.hasOwn(own, key)) return own;
  const others = Object.entries(own);
  const changed = withValue(Object.hasOwn(own, key) ? own[key] : undefined, rest, inner);
  // Entries, and no assignment: a name may be that of something every object has.
  const entries = others.map(([name, one]) => [name, name === key ? changed : one] as const);
  const all = Object.hasOwn(own, key) ? entries : [...entries, [String(key), changed] as const];
  return Object.fromEntries(all.filter(([name, one]) => name !== key || one !== undefined));
}

/** Sets a value in an object of one's own. */
export function setValue(root: object, path: Path, value: unknown): void {
  const last = path.length - 1;
  let at = root as Record<string, unknown>;
  for (const [index, key] of path.entries()) {
    const known = Object.hasOwn(at, key) ? at[key] : undefined;
    const next = index === last ? value : isObject(known) ? known : {};
    // Defined and not assigned: a name may be that of something every object has.
    Object.defineProperty(at, key, { value: next, writable: true, enumerable: true, configurable: true });
    at = next as Record<string, unknown>;
  }
}

/** As it may be shown: without passwords, keys, their hashes, what stands in files of secrets, and the logins in addresses. */
export function redacted(value: unknown, path: Path = []): unknown {
  if (value === undefined) return undefined;
  if (partsAt(ConfigSchema as unknown as SchemaPart, path).some(({ secret }) => secret === true)) return null;
  if (typeof value === "string") return withoutSecretTexts(value).replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, "$1");
  if (Array.isArray(value)) return value.map((inner, index) => redacted(inner, [...path, index]));
  if (typeof value === "number") return withoutSecretTexts(String(value)) === String(value) ? value : null;
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, redacted(inner, [...path, key])]));
}

/** Every key that there may be, in the order of the schema: each with what `of` makes of it. */
export function everyValue(config: Config, of: (leaf: Leaf) => unknown): unknown {
  const look = (part: Part, value: unknown, path: Path): unknown => {
    if (!isSection(part)) return of({ path, value });
    const own = isObject(value) ? value : {};
    const names = part.properties === undefined ? Object.keys(own) : Object.keys(part.properties);
    return Object.fromEntries(
      names.map((key) => [
        key,
        look(inside(part, key)!, Object.hasOwn(own, key) ? own[key] : undefined, [...path, key]),
      ]),
    );
  };
  return look(ROOT, config, []);
}

function isObject(value: unknown): value is Readonly<Record<string | number, unknown>> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** Reads and checks what clients send. Every refusal is a sentence that names the field. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Config } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import { type BodyRoom, readJsonBodies } from "./bodies.ts";
import type { Ajv, ValidateFunction } from "ajv";
import { makeAjv } from "../common/ajv.ts";
import { fits } from "../common/fits.ts";
import { misfitOf } from "../common/validation.ts";
import { renewalOf } from "./live-schemas.ts";
import { queryReader } from "./query.ts";

/** The parts of a JSON schema that say where a null may be dropped. */
interface Shape {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly items?: Shape;
  readonly maxItems?: number;
  readonly default?: unknown;
}

// Generous, so that a batch that is only somewhat too long is told so, by a better sentence; a message of an item has three to seven.
const PARTS_FOR_AN_ITEM = 128;
const PARTS_BESIDE_ITEMS = 10_000;

const EMPTY_BODY = "The body is empty; it must be a JSON object.";

/** Makes the application read JSON bodies only, and check bodies and query strings with our own sentences. */
export function setUpValidation(app: FastifyInstance, live: { readonly config: Config }, room: BodyRoom): void {
  const maxParts = (): number => PARTS_FOR_AN_ITEM * live.config.limits.max_batch_size + PARTS_BESIDE_ITEMS;
  readJsonBodies(app, { maxBytes: live.config.limits.max_body_bytes, maxParts }, room);
  app.setValidatorCompiler<Shape & object>(({ schema, httpPart }) => {
    // Handlers answer 404, not 400, for a path that names nothing.
    if (httpPart === "params") return () => true;
    const renewal = renewalOf(schema);
    const isBody = httpPart === "body";
    // Made when it is first needed: making those of all routes was a fifth of a start.
    return (given) => checkBy(renewal?.() ?? schema, isBody)(given);
  });
}

type Check = (given: unknown) => { value: unknown } | { error: AltLasError };

/**
 * Checks what came by another way than a request of its own, as a body of one is checked.
 * @param given may be changed: it gets its defaults
 * @throws {AltLasError} `invalid_input`, `unsupported`
 */
export function checkedBody<Body>(schema: Shape & object, given: object): Body {
  const checked = checkBy(renewalOf(schema)?.() ?? schema, true)(given);
  if ("error" in checked) throw checked.error;
  return checked.value as Body;
}

function checkBy(schema: Shape & object, isBody: boolean): Check {
  let check = checks.get(schema);
  if (check === undefined) checks.set(schema, (check = compile(schema, isBody)));
  return check;
}

/**
 * Queries of a route that are walked before a check of them is compiled. Most routes are asked seldom or never, and a server that is only
 * asked whether it is ready needs no Ajv. Bodies may be large, and a walk takes longer.
 */
const WALKS = 1000;

let ajv: Ajv | undefined;
/** By schema: routes share some, each GET has a HEAD, and tests make many servers. */
const checks = new WeakMap<object, Check>();

function compile(schema: Shape & object, isBody: boolean): Check {
  // Ajv has no use for a default of the whole, and refuses it.
  const { default: whenMissing, ...checked } = schema;
  let validate: ValidateFunction | undefined;
  let walks = isBody ? WALKS : 0;
  const prepared = isBody ? (nullDropper(checked) ?? asItIs) : queryReader(checked);
  return (given) => {
    // A body that is missing arrives here as null too.
    const sent = isBody && given === null ? structuredClone(whenMissing) : given;
    if (sent === undefined) return { error: new AltLasError("invalid_input", EMPTY_BODY) };
    const value = prepared(sent);
    if (walks++ < WALKS && fits(checked, value)) return { value };
    validate ??= (ajv ??= makeAjv()).compile(checked);
    if (validate(value)) return { value };
    const { sentence, field, unsupported } = misfitOf(validate, isBody ? "the body" : "the query");
    const code = unsupported === true ? "unsupported" : "invalid_input";
    return { error: new AltLasError(code, sentence, { ...(field !== null && { param: field }) }) };
  };
}

/** Lets a request without a body say of it what it likes: `curl -d ""` declares a form. For routes that can do without a body. */
export function ignoreTypeOfNothing({ headers }: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  const isEmpty = headers["transfer-encoding"] === undefined && Number(headers["content-length"] ?? 0) === 0;
  if (isEmpty) delete headers["content-type"];
  done();
}

const asItIs: Dropper = (value) => value;

/** @returns the value, or a copy: `delete` would leave an object that is slow to read for good */
type Dropper = (value: unknown) => unknown;

/** Some fields of a body. By hand: nearly each body of some clients has nulls, and `Object.fromEntries` takes several times as long. */
function only(names: readonly string[], fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  // To set this one would give the copy another prototype.
  if (names.includes("__proto__")) return Object.fromEntries(names.map((name) => [name, fields[name]]));
  const some: Record<string, unknown> = {};
  for (const name of names) some[name] = fields[name];
  return some;
}

/**
 * Leaves out optional fields that are null, which count as absent. It goes where the schema goes and no deeper, so that a body of a
 * million nested lists costs nothing; and a required null stays, because the sentence about it is better than "is missing".
 * @returns null where there is nothing to leave out
 */
function nullDropper(schema: Shape): Dropper | null {
  const { properties, items, maxItems = Infinity } = schema;
  if (items) {
    const fromItem = nullDropper(items);
    if (fromItem === null) return null;
    return (value) => (Array.isArray(value) && value.length <= maxItems ? value.map(fromItem) : value);
  }
  if (!properties) return null;
  const kept = new Set(schema.required?.filter((name) => properties[name]?.default === undefined));
  const inner = Object.entries(properties).flatMap(([name, property]) => {
    const drop = nullDropper(property);
    return drop === null ? [] : [{ name, drop }];
  });
  return (value) => {
    if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
    let fields = value as Record<string, unknown>;
    const names = Object.keys(fields);
    const stay = names.filter((name) => fields[name] !== null || kept.has(name));
    if (stay.length < names.length) fields = only(stay, fields);
    for (const { name, drop } of inner) if (Object.hasOwn(fields, name)) fields[name] = drop(fields[name]);
    return fields;
  };
}

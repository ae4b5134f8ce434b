/** Shared by the sections of the schema. */
import { type TSchema, Type } from "../common/type.ts";

export const MIB = 1024 * 1024;

/** An object that refuses unknown keys and may be left out as a whole. */
export function section<Properties extends Record<string, TSchema>>(description: string, properties: Properties) {
  return Type.Object(properties, { description, additionalProperties: false, default: {} });
}

/** As `section`; all that is inside may change while the server runs. */
export function liveSection<Properties extends Record<string, TSchema>>(description: string, properties: Properties) {
  return Type.Object(properties, { description, additionalProperties: false, default: {}, live: true });
}

/** Not a union, so that a mistake is named by its own path and not by that of the whole. */
export function either(type: "object" | "array", matching: TSchema, others: TSchema) {
  // oxlint-disable-next-line unicorn/no-thenable -- JSON Schema's word
  return { if: { type }, then: matching, else: others };
}

/** Ten years: beyond it a time is no limit, and JavaScript's dates stay exact. */
export const LONGEST_SECONDS = 315_360_000;

export const NonEmpty = Type.String({ minLength: 1 });

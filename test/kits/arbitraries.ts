/* Values as fast-check makes them, for the kits of the stores. */
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { anyText } from "../helpers/any-text.ts";

/** Any text that UTF-8 can keep, and some that databases have stumbled over. */
export function text(): fc.Arbitrary<string> {
  return fc.oneof(anyText({ maxLength: 50 }), fc.constantFrom("", "\0", "a\0b", "👩‍👩‍👧", "'; --", "ı\r\n"));
}

/** Unix milliseconds. */
export function time(): fc.Arbitrary<number> {
  return fc.nat(4_102_444_800_000);
}

/** An id that is used once. */
export function anyId(): fc.Arbitrary<string> {
  return text().map((words) => `${words}#${randomUUID()}`);
}

export function maybe<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  return fc.option(arbitrary, { nil: null });
}

/** An object that `deepEqual` takes for a usual one. */
export function plain<T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

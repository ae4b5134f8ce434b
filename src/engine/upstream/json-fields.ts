/** Reads JSON of a server, of which nothing is taken on trust. */
import { isObject, valueIn } from "../../common/json-values.ts";
import { UpstreamError } from "./upstream-error.ts";

/** @throws {UpstreamError} it is no object in JSON */
export function objectIn(data: string): Record<string, unknown> {
  const value = valueIn(data);
  if (isObject(value)) return value;
  throw new UpstreamError(null, `it sent what makes no sense: ${data.slice(0, 100)}`);
}

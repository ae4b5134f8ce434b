/**
 * V8 tells objects by their shapes, and what is made like another one shares its. It keeps 1,536 first fields of small objects. When some part
 * of the program has used them up, such as a library that compiles a large schema, each new object gets a shape of its own, and a request
 * costs a tenth more.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { startLocalServer } from "./helpers/local-server.ts";

setFlagsFromString("--allow-natives-syntax");
// oxlint-disable-next-line no-new-func -- the syntax is V8's own
const haveSameShape = new Function("one", "other", "return %HaveSameMap(one, other)") as (
  a: object,
  b: object,
) => boolean;

/** First fields that objects may still get. */
function room(most: number): number {
  for (let taken = 0; taken < most; taken++) {
    const [one, other] = [{}, {}].map((empty) => Object.assign(empty, { [`field ${taken}`]: taken }));
    if (!haveSameShape(one!, other!)) return taken;
  }
  return most;
}

test("a server that has served leaves room for the shapes of objects", async (t) => {
  const server = await startLocalServer(t);
  await server.request("POST", "/api/v1/predict", {
    body: { text: "a", gpu_options: { specific_gpu_id: null } },
  });
  await server.request("GET", "/api/v1/openapi.json");
  assert.equal(room(300), 300);
});

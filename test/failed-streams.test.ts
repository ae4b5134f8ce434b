/** Answers that are streams which fail before there is anything of them. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { test } from "node:test";
import fastify from "fastify";
import { pino } from "pino";
import { AltLasError } from "../src/errors.ts";
import { errorHandler } from "../src/http/failures.ts";

/** The head is made in the first turns of the event loop. */
for (const turns of [0, 1, 2, 5])
  test(`a stream that fails ${turns} turns later is answered as a failure, whatever its head was to say`, async (t) => {
    const app = fastify();
    t.after(() => app.close());
    app.setErrorHandler(errorHandler({ log: pino({ enabled: false }) }));
    app.get("/", async (_request, reply) => {
      const stream = Readable.from(failing(turns));
      return reply
        .type("application/octet-stream")
        .headers({ "content-length": 7, "content-disposition": "attachment" })
        .send(stream);
    });
    const { statusCode, headers, body } = await app.inject("/");
    assert.equal(statusCode, 503, body);
    assert.equal((JSON.parse(body) as { code: string }).code, "store_unavailable");
    assert.deepEqual(
      [headers["content-type"], headers["content-disposition"], headers["content-length"]],
      ["application/json; charset=utf-8", undefined, String(Buffer.byteLength(body))],
    );
  });

async function* failing(turns: number): AsyncGenerator<string> {
  for (let turn = 0; turn < turns; turn++) await nextTurn();
  if (turns >= 0) throw new AltLasError("store_unavailable", "The store cannot be read.");
  yield "never";
}

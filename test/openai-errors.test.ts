/** Errors under /v1: whatever goes wrong there is told in the shape that OpenAI's clients read. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { type InjectOptions } from "fastify";
import { AS, listening, testServer } from "./helpers/http.ts";

const JSON_BODY = { "content-type": "application/json" };

interface Case {
  readonly asked: InjectOptions;
  readonly status: number;
  readonly type: string;
  readonly code: string;
  readonly sentence: RegExp;
}

const CASES: Readonly<Record<string, Case>> = {
  "an unknown route": {
    asked: { url: "/v1/nothing", headers: AS.user },
    status: 404,
    type: "not_found_error",
    code: "not_found",
    sentence: /^There is no route GET \/v1\/nothing\.$/,
  },
  "a doubled slash": {
    asked: { url: "//v1//nothing?x=1", headers: AS.user },
    status: 404,
    type: "not_found_error",
    code: "not_found",
    sentence: /no route/,
  },
  "a URL that is none": {
    asked: { url: "/v1/%zz", headers: AS.user },
    status: 400,
    type: "invalid_request_error",
    code: "invalid_input",
    sentence: /percent-encoded/,
  },
  "a compressed body": {
    asked: { method: "POST", url: "/v1/x", headers: { ...AS.user, ...JSON_BODY, "content-encoding": "gzip" } },
    status: 415,
    type: "invalid_request_error",
    code: "unsupported_media_type",
    sentence: /Content-Encoding/,
  },
};

for (const [name, { asked, status, type, code, sentence }] of Object.entries(CASES)) {
  test(`an error of OpenAI's API has its envelope: ${name}`, async (t) => {
    const { app } = testServer(t);
    const response = await app.inject(asked);
    assert.equal(response.statusCode, status, response.body);
    const { error, ...rest } = response.json<{ error: Record<string, unknown> }>();
    assert.deepEqual(rest, {});
    const { message, ...others } = error;
    assert.deepEqual(others, { type, param: null, code });
    assert.match(String(message), sentence);
    assert.ok(response.headers["x-request-id"]);
  });
}

test("the other API keeps its envelope, also where a path only looks like OpenAI's", async (t) => {
  const { app } = testServer(t);
  for (const url of ["/api/v1/nothing", "/v1beta/models", "/v10", "/api/v1/v1/x"]) {
    const response = await app.inject({ url, headers: AS.user });
    assert.equal(typeof response.json<{ error: unknown }>().error, "string", url);
  }
});

test("what never becomes a request has the envelope of the path that it names", async (t) => {
  const { app } = testServer(t);
  const port = await listening(app);
  const ask = async (line: string): Promise<{ error: unknown }> => {
    const socket = connect(port, "127.0.0.1");
    socket.write(`${line} HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n`);
    let text = "";
    socket.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    await once(socket, "close");
    return JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4)) as { error: unknown };
  };
  assert.equal(typeof (await ask("GET /v1/models")).error, "object");
  assert.equal(typeof (await ask("GET /livez")).error, "string");
});

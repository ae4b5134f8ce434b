/** Errors under /v1: whatever goes wrong there is told in the shape that OpenAI's clients read. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { type InjectOptions } from "fastify";
import { envelopeOf } from "./helpers/openai.ts";
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

const EMPTY = { payload: "{}", headers: { ...AS.user, ...JSON_BODY } };

const SPELLINGS: readonly [asked: InjectOptions, status: number, message: RegExp][] = [
  [{ method: "POST", url: "/%76%31/chat/completions", ...EMPTY }, 400, /^messages is missing/],
  [{ method: "POST", url: "/%76%31/chat/completions" }, 401, /credentials|key/i],
  [{ method: "POST", url: "/v1/%63hat/completions", ...EMPTY }, 400, /^messages is missing/],
  [{ method: "POST", url: "/%63hat/completions", ...EMPTY }, 400, /^messages is missing/],
  [{ method: "POST", url: "//chat//completions/?x", ...EMPTY }, 400, /^messages is missing/],
  [{ url: "//chat/completions", headers: AS.user }, 405, /^\/v1\/chat\/completions allows POST, not GET\.$/],
  [{ url: "/%76%31/%6eothing?x=/v1", headers: AS.user }, 404, /^There is no route GET \/%76%31\/%6eothing\.$/],
  [{ url: "/V1/models", headers: AS.user }, 404, /no route GET \/V1\/models/],
];

test("a path of OpenAI's API is one however it is spelled", async (t) => {
  const { app } = testServer(t);
  for (const [asked, status, message] of SPELLINGS) {
    const error = envelopeOf(await app.inject(asked), status);
    assert.match(error.message, message, JSON.stringify(asked));
  }
});

test("the other API keeps its envelope, also where a path only looks like OpenAI's", async (t) => {
  const { app } = testServer(t);
  for (const url of [
    "/api/v1/nothing",
    "/v1beta/models",
    "/v10",
    "/api/v1/v1/x",
    "/v1%2Fmodels",
    "/x?/v1/models",
    "/chat",
  ]) {
    const response = await app.inject({ url, headers: AS.user });
    assert.equal(typeof response.json<{ error: unknown }>().error, "string", url);
  }
});

/** The body of the answer to some bytes. */
async function told(port: number, bytes: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(bytes);
  let text = "";
  socket.setEncoding("utf8").on("data", (piece: string) => (text += piece));
  await once(socket, "close");
  return text.slice(text.indexOf("\r\n\r\n") + 4);
}

test("what never becomes a request has the envelope of the path that it names", async (t) => {
  const { app } = testServer(t);
  const port = await listening(app);
  for (const [target, type] of [
    ["/v1/models", "object"],
    ["/models", "object"],
    ["http://elsewhere/v1/models", "object"],
    ["/livez", "string"],
  ] as const) {
    const body = await told(port, `GET ${target} HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n`);
    assert.equal(typeof (JSON.parse(body) as { error: unknown }).error, type, target);
  }
});

test("a target with a host names the path behind it", async (t) => {
  const { app } = testServer(t);
  const port = await listening(app);
  const ask = (target: string): Promise<string> =>
    told(
      port,
      `GET ${target} HTTP/1.1\r\nHost: a\r\nAuthorization: ${AS.user.authorization}\r\nConnection: close\r\n\r\n`,
    );
  for (const [target, message] of [
    ["http://a/v1/nope", "There is no route GET /v1/nope."],
    ["http://a//v1/%63hat/completions?x", "/v1/%63hat/completions allows POST, not GET."],
    ["http://a/chat/completions", "/v1/chat/completions allows POST, not GET."],
  ] as const) {
    const { error } = JSON.parse(await ask(target)) as { error: { message: string } };
    assert.equal(error.message, message);
  }
  const other = JSON.parse(await ask("http://a/api/v1/gpu")) as { error: string };
  assert.equal(other.error, "There is no route GET /api/v1/gpu. Perhaps GET /api/v1/gpus was meant.");
  const models = JSON.parse(await ask("http://a/models")) as { object: string };
  assert.equal(models.object, "list");
});

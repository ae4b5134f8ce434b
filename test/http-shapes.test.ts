import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { API, ID, KEYS, listening, post, testServer } from "./helpers/http.ts";

const LIVE = "GET /livez HTTP/1.1\r\nConnection: close\r\n";
const PREDICT = `POST ${API}/predict HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n`;
const KEY = `Authorization: Bearer ${KEYS.user}\r\n`;
const BODY = '{"text":"x"}';

/** Sends bytes and closes nothing; resolves with all that comes until the server closes. */
async function exchange(port: number, bytes: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function refusalOf(answer: string, status: number, code: string): string {
  assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), answer);
  assert.match(answer, /\r\nx-request-id: [\w.-]+\r\n/i);
  const failure = JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4)) as { error: string; code: string };
  assert.equal(failure.code, code);
  return failure.error;
}

test("request lines and headers that HTTP refuses are refused, each in the usual shape", async (t) => {
  const { app, tasks } = testServer(t);
  const port = await listening(app);
  const long = "a".repeat(9000);
  const cases: [bytes: string, status: number, code: string, sentence: RegExp][] = [
    [`${LIVE}Host: a\r\nHost: b\r\n\r\n`, 400, "invalid_input", /^The Host header is there more than once\.$/],
    [`${LIVE}Host: a\r\nhost: a\r\n\r\n`, 400, "invalid_input", /^The host header is there more than once\.$/],
    [`${LIVE}\r\n`, 400, "invalid_input", /^The Host header is missing\.$/],
    [`${LIVE}Host: a b\r\n\r\n`, 400, "invalid_input", /^The Host header must name a host; got "a b"\.$/],
    ["GET /livez HTTP/2.0\r\nHost: a\r\nConnection: close\r\n\r\n", 400, "invalid_input", /got HTTP\/2\.0\.$/],
    [`${LIVE}Host: a\r\n${KEY}${KEY}\r\n`, 400, "invalid_input", /^The Authorization header is there more than once\.$/],
    [`${PREDICT}Host: a\r\n${KEY}Content-Type: text/plain\r\nContent-Length: 12\r\n\r\n${BODY}`, 400, "invalid_input", /^The Content-Type header/],
    [`${PREDICT}Host: a\r\n${KEY}Content-Length: 12\r\nContent-Length: 13\r\n\r\n${BODY}`, 400, "invalid_input", /not a valid HTTP request/],
    [`${PREDICT}Host: a\r\n${KEY}Content-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n${BODY}`, 400, "invalid_input", /not a valid HTTP request/],
    [`${PREDICT}Host: a\r\n${KEY}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 400, "invalid_input", /^The Transfer-Encoding may only be chunked; got "gzip, chunked"\.$/],
    [`${PREDICT}Host: a\r\n${KEY}Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\n${BODY}`, 415, "unsupported_media_type", /without Content-Encoding; got "gzip"\.$/],
    [`${PREDICT}Host: a\r\n${KEY}Expect: 200-ok\r\nContent-Length: 12\r\n\r\n${BODY}`, 417, "expectation_failed", /^The Expect header may only be 100-continue; got "200-ok"\.$/],
    [`${PREDICT}Host: a\r\n${KEY}Expect: 100-continue, x\r\nContent-Length: 12\r\n\r\n`, 417, "expectation_failed", /got "100-continue, x"/],
    [`CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n`, 405, "method_not_allowed", /no proxy/],
    [`TRACE /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`, 405, "method_not_allowed", /allows GET, HEAD, not TRACE/],
    [`BREW /livez HTTP/1.1\r\nHost: a\r\n\r\n`, 400, "invalid_input", /not a valid HTTP request/],
    [`${LIVE}Host : a\r\n\r\n`, 400, "invalid_input", /not a valid HTTP request/],
    [`${LIVE}Host: a\r\nX: y\r\n z\r\n\r\n`, 400, "invalid_input", /not a valid HTTP request/],
    [`GET ${API}/task/${long} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${KEY}\r\n`, 400, "invalid_input", /^A part of the path is too long to name anything\.$/],
  ]; // prettier-ignore
  for (const [bytes, status, code, sentence] of cases) {
    assert.match(refusalOf(await exchange(port, bytes), status, code), sentence);
  }
  assert.deepEqual(tasks.submitted, []);
});

test("shapes that are odd and allowed are answered", async (t) => {
  const { app } = testServer(t);
  const port = await listening(app);
  const allowed = [
    `${LIVE}Host:\r\n\r\n`,
    `${LIVE}Host: [::1]:8642\r\n\r\n`,
    `${LIVE}Host: my_host.example:80\r\n\r\n`,
    "GET http://a/livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET /livez HTTP/1.0\r\n\r\n",
    "GET /livez HTTP/1.0\r\nExpect: anything\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n",
    `${PREDICT}Host: a\r\n${KEY}Content-Encoding: identity\r\nContent-Length: 12\r\n\r\n${BODY}`,
  ];
  for (const bytes of allowed) assert.match(await exchange(port, bytes), /^HTTP\/1\.1 200 OK\r\n/, bytes);
});

test("a body is invited only after everything else about the request was found right", async (t) => {
  const { app, tasks, state } = testServer(t);
  const port = await listening(app);
  const expecting = `POST ${API}/predict HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n`;
  const json = "Content-Type: application/json\r\n";
  const refused: [headers: string, status: number][] = [
    [`${json}Content-Length: 12`, 401],
    [`${json}${KEY}Content-Length: 100000000`, 413],
    [`${json}Authorization: Bearer ${KEYS.viewer}\r\nContent-Length: 12`, 403],
    [`Content-Type: text/plain\r\n${KEY}Content-Length: 12`, 415],
    [`${json}${KEY}Content-Encoding: br\r\nContent-Length: 12`, 415],
  ];
  for (const [headers, status] of refused) {
    // The connection closes, because what comes next could be the body as well as a request.
    assert.match(await exchange(port, `${expecting}${headers}\r\n\r\n`), new RegExp(`^HTTP/1\\.1 ${status} `));
  }
  state.draining = true;
  assert.match(await exchange(port, `${expecting}${json}${KEY}Content-Length: 12\r\n\r\n`), /^HTTP\/1\.1 503 /);
  state.draining = false;
  assert.deepEqual(tasks.submitted, []);
  const socket = connect(port, "127.0.0.1");
  t.after(() => socket.destroy());
  socket.write(`${expecting}${json}${KEY}Content-Length: 12\r\n\r\n`);
  const [invitation] = (await once(socket, "data")) as [Buffer];
  assert.equal(invitation.toString(), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.write(BODY);
  const [answer] = (await once(socket, "data")) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 200 OK\r\n/);
  assert.equal(tasks.submitted.length, 1);
});

test("ids as long as they may be are answered as ids, shortened", async (t) => {
  const { app } = testServer(t);
  const { statusCode, body } = await post(app, `/task/${"a".repeat(8000)}/cancel`, {});
  assert.equal(statusCode, 404);
  assert(body.length < 300, body);
  assert.equal((await post(app, `/task/${ID}/cancel`, {})).statusCode, 404);
});

/** Tokens of an OpenID issuer in the place of API keys. */
import assert from "node:assert/strict";
import { createSecretKey } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { exportSPKI, importJWK, SignJWT, UnsecuredJWT, type CryptoKey } from "jose";
import { pino } from "pino";
import type { AuditEvent } from "../src/audit/audit-log.ts";
import { Credentials } from "../src/auth/credentials.ts";
import { credentialsPath } from "../src/auth/file.ts";
import { askIssuer } from "../src/auth/oidc/issuer-http.ts";
import { parseConfig } from "../src/config/config.ts";
import { AltLasError, type ErrorCode } from "../src/errors.ts";
import { API, temporaryFolder, testServer } from "./helpers/http.ts";
import { newSigningKey, type StandInIssuer, startIssuer } from "./helpers/issuer.ts";

const HOUR = 3600;
const now = (): number => Math.floor(Date.now() / 1000);

function configFor(issuer: Pick<StandInIssuer, "url">, more = "default_role: user", auth = ""): string {
  return `auth: { oidc: { issuer: "${issuer.url}", audience: alt-las, ${more} }${auth} }`;
}

interface Opened {
  readonly credentials: Credentials;
  readonly log: string[];
  readonly audited: AuditEvent[];
  readonly dataDir: string;
  /** Milliseconds of its clock. */
  readonly clock: { now: number };
}

function open(t: TestContext, yaml: string): Opened {
  const [log, audited]: [string[], AuditEvent[]] = [[], []];
  const clock = { now: 0 };
  const dataDir = temporaryFolder(t);
  const credentials = new Credentials({
    config: parseConfig(yaml, "test.yaml").auth,
    dataDir,
    log: pino({ level: "info" }, { write: (line: string) => log.push(line) }),
    audit: { record: (event) => void audited.push(event) },
    now: () => clock.now,
  });
  return { credentials, log, audited, dataDir, clock };
}

async function sentenceOf(
  { credentials }: Pick<Opened, "credentials">,
  token: string,
  code: ErrorCode = "unauthorized",
): Promise<string> {
  try {
    await credentials.authenticate(`Bearer ${token}`, () => "192.0.2.1");
  } catch (error) {
    assert.ok(error instanceof AltLasError && error.code === code, String(error));
    return error.message;
  }
  return assert.fail("the token was taken");
}

test("a token of the issuer stands for a key, and costs one look at the issuer's keys", async (t) => {
  const issuer = await startIssuer(t);
  const opened = open(t, configFor(issuer));
  const token = await issuer.token();
  const caller = await opened.credentials.authenticate(`Bearer ${token}`, () => "192.0.2.1");
  assert.deepEqual([caller.name, caller.role, caller.team, caller.by], ["alice", "user", null, "token"]);
  const again = opened.credentials.authenticate(`Bearer ${token}`, () => "192.0.2.1");
  // No promise: its signature is not checked again.
  assert.equal(again, caller);
  assert.ok(opened.credentials.holds(caller));
  await opened.credentials.authenticate(`Bearer ${await issuer.token({ sub: "bob" })}`);
  assert.deepEqual(issuer.asked, ["/.well-known/openid-configuration", "/keys"]);
  const rows = opened.audited.map(({ action, user, details, address }) => [action, user, details, address]);
  assert.deepEqual(rows[0], ["auth.sign_in", "alice", "by token", "192.0.2.1"]);
});

test("of a token that is refused its owner is told why, and nobody else anything of its claims", async (t) => {
  const issuer = await startIssuer(t);
  const opened = open(t, configFor(issuer, "claims: { role: groups }, roles: { user: [staff] }"));
  const stranger = await newSigningKey("first");
  const good = { groups: ["staff"] };
  const [head, body] = (await issuer.token(good)).split(".");
  const rsa = await newSigningKey("rsa", "RS256");
  issuer.keys.unshift(rsa);
  const publicKey = await exportSPKI((await importJWK(rsa.jwk, "RS256")) as CryptoKey);
  const confused = new SignJWT({ iss: issuer.url, aud: "alt-las", sub: "alice", exp: now() + HOUR, ...good });
  const cases: [token: string, sentence: RegExp][] = [
    [await issuer.token({ ...good, aud: "other" }), /^The token is for "other", and not for this server\.$/],
    [await issuer.token({ ...good, aud: undefined }), /has no claim "aud"/],
    [await issuer.token({ ...good, exp: now() - 31 }), /^The token has expired at 20\d\d-.*Z; get another one/],
    [await issuer.token({ ...good, exp: undefined }), /has no claim "exp"/],
    [await issuer.token({ ...good, exp: "soon" }), /a claim "exp" that is not as it must be/],
    [await issuer.token({ ...good, nbf: now() + 60 }), /is not valid before .*Z; the clocks of its issuer/],
    [await issuer.token({ ...good, nbf: 1e300 }), /is not valid before /],
    [await issuer.token({ ...good, iss: "https://evil.example" }), /^The token is of an issuer that this server/],
    [await issuer.token({ ...good, sub: undefined }), /has no claim "sub", which names its user/],
    [await issuer.token({ ...good, sub: "a|b" }), /has "a\|b" as "sub", which is no name that a user may have here/],
    [await issuer.token({ ...good, sub: ["alice"] }), /as "sub", which is no name/],
    [await issuer.token({}), /has no claim "groups", which gives its user a role/],
    [await issuer.token({ groups: ["guests"] }), /nothing in the claim "groups", .* that means one here/],
    // Expired and forged: of when it ended, nothing is said.
    [await issuer.token({ ...good, exp: now() - HOUR }, stranger), /^The token has a signature that is wrong\.$/],
    [await issuer.token(good, await newSigningKey("other")), /signed with a key that its issuer does not have/],
    [`${head}.${body}.`, /signature that is wrong|no signed token/],
    [
      new UnsecuredJWT({ iss: issuer.url, aud: "alt-las", sub: "alice", ...good }).encode(),
      /^The token is not signed\.$/,
    ],
    [
      await confused.setProtectedHeader({ alg: "HS256", kid: "rsa" }).sign(createSecretKey(Buffer.from(publicKey))),
      /^The token is signed by "HS256", which is not taken here\.$/,
    ],
    [await issuer.token(good, await newSigningKey("first", "RS512")), /signed by "RS512", which is not taken/],
    [
      await issuer.token({ ...good, pad: "x".repeat(7000) }),
      /^The token has 9\d\d\d characters; at most 8192 are read/,
    ],
    ["a.b.c", /is no signed token that can be read/],
    [`${Buffer.from("[]").toString("base64url")}.e30.x`, /is no signed token that can be read/],
  ];
  for (const [token, sentence] of cases) assert.match(await sentenceOf(opened, token), sentence, token.slice(0, 40));
  // One that is right, beside those.
  assert.equal((await opened.credentials.authenticate(`Bearer ${await issuer.token(good)}`)).name, "alice");
  const refused = opened.audited.filter(({ action }) => action === "auth.refused");
  assert.match(refused[0]!.details ?? "", /^token refused, once/);
  assert.ok(refused.every(({ user }) => user === null));
});

test("the clocks of issuer and server may differ by auth.oidc.clock_tolerance", async (t) => {
  const issuer = await startIssuer(t);
  const opened = open(t, configFor(issuer, "default_role: user, clock_tolerance: 120"));
  for (const claims of [{ exp: now() - 60 }, { nbf: now() + 60, iat: now() + 60 }])
    assert.equal((await opened.credentials.authenticate(`Bearer ${await issuer.token(claims)}`)).name, "alice");
});

test("a token that is remembered ends when it ends", async (t) => {
  const issuer = await startIssuer(t);
  const opened = open(t, configFor(issuer, "default_role: user, clock_tolerance: 0"));
  const token = await issuer.token({ exp: now() + HOUR });
  const caller = await opened.credentials.authenticate(`Bearer ${token}`);
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + (HOUR + 1) * 1000 });
  assert.ok(!opened.credentials.holds(caller));
  assert.match(await sentenceOf(opened, token), /has expired/);
});

test("a key of the issuer that is new is found, and one that it has withdrawn counts no more", async (t) => {
  const issuer = await startIssuer(t);
  const opened = open(t, configFor(issuer));
  const [old] = issuer.keys;
  const token = await issuer.token();
  const caller = await opened.credentials.authenticate(`Bearer ${token}`);
  opened.clock.now += 10_000;
  issuer.keys = [await newSigningKey("second")];
  assert.equal((await opened.credentials.authenticate(`Bearer ${await issuer.token()}`)).name, "alice");
  assert.equal(issuer.looks, 2);
  assert.ok(!opened.credentials.holds(caller));
  assert.match(await sentenceOf(opened, token), /a key that its issuer does not have/);
  // Made-up keys are no flood of questions.
  for (let i = 0; i < 20; i++) await sentenceOf(opened, await issuer.token({}, { ...old!, kid: `made-up-${i}` }));
  assert.equal(issuer.looks, 2);
  opened.clock.now += 10_000;
  await sentenceOf(opened, await issuer.token({}, { ...old!, kid: "made-up" }));
  assert.equal(issuer.looks, 3);
});

test("tokens without the name of a key are tried with all of their kind", async (t) => {
  const issuer = await startIssuer(t);
  issuer.keys = [await newSigningKey("a"), await newSigningKey("b")];
  const opened = open(t, configFor(issuer));
  const sign = async (key: CryptoKey): Promise<string> =>
    new SignJWT({ iss: issuer.url, aud: "alt-las", sub: "bob", exp: now() + HOUR })
      .setProtectedHeader({ alg: "ES256" })
      .sign(key);
  for (const { privateKey } of issuer.keys)
    assert.equal((await opened.credentials.authenticate(`Bearer ${await sign(privateKey)}`)).name, "bob");
  assert.match(await sentenceOf(opened, await sign((await newSigningKey("c")).privateKey)), /signature that is wrong/);
});

test("an issuer that is down is no fault of a token: known keys go on, without any it is a 503", async (t) => {
  const issuer = await startIssuer(t);
  const opened = open(t, configFor(issuer));
  issuer.failure = 502;
  const token = await issuer.token();
  assert.match(
    await sentenceOf(opened, token, "issuer_unavailable"),
    /does not answer, so the token cannot be checked/,
  );
  await sentenceOf(opened, token, "issuer_unavailable");
  assert.equal(issuer.asked.length, 1);
  assert.match(
    opened.log.join(""),
    /does not answer as it should: .* answers 502\. No token can be checked until it does/,
  );
  issuer.failure = null;
  opened.clock.now += 10_000;
  await opened.credentials.authenticate(`Bearer ${token}`);
  assert.match(opened.log.join(""), /answers again/);
  await issuer.close();
  opened.clock.now += 3_600_000;
  const other = await opened.credentials.authenticate(`Bearer ${await issuer.token({ sub: "bob" })}`);
  assert.equal(other.name, "bob");
  // A key that is unknown may be one of those that nobody can ask for now.
  await sentenceOf(opened, await issuer.token({}, await newSigningKey("new")), "issuer_unavailable");
  // None of it was the tokens' fault.
  assert.ok(!opened.audited.some(({ action }) => action === "auth.refused"));
});

test("an issuer that calls itself by another name is not believed, and the log says so", async (t) => {
  const issuer = await startIssuer(t);
  issuer.metadata = { issuer: "https://other.example" };
  const opened = open(t, configFor(issuer));
  await sentenceOf(opened, await issuer.token(), "issuer_unavailable");
  assert.match(opened.log.join(""), /calls itself \\"https:\/\/other\.example\\"; auth\.oidc\.issuer must be the same/);
});

test("roles and teams come from the claims that the configuration names", async (t) => {
  const issuer = await startIssuer(t);
  const claims = "claims: { user: email, team: org.unit, role: realm_access.roles }";
  const opened = open(
    t,
    configFor(issuer, `${claims}, roles: { admin: [boss], user: [staff], viewer: [guest] }, default_role: viewer`),
  );
  const role = async (realm_access: unknown, more: object = {}): Promise<unknown> => {
    const token = await issuer.token({ email: "alice@example.com", realm_access, ...more });
    const caller = await opened.credentials.authenticate(`Bearer ${token}`);
    return [caller.name, caller.role, caller.team];
  };
  assert.deepEqual(await role({ roles: ["guest", "boss"] }), ["alice@example.com", "admin", null]);
  assert.deepEqual(await role({ roles: "staff" }, { org: { unit: "research" } }), [
    "alice@example.com",
    "user",
    "research",
  ]);
  assert.deepEqual(await role({ roles: [] }), ["alice@example.com", "viewer", null]);
  // Names that every object has are no claims.
  assert.deepEqual(await role(undefined, { "realm_access.roles": ["boss"] }), ["alice@example.com", "admin", null]);
  assert.match(
    await sentenceOf(opened, await issuer.token({ email: "a@b.c", org: { unit: "no team!" } })),
    /which is no name that a team may have here/,
  );
});

test("an answer of the issuer that is packed from a very large one is not unpacked whole", async (t) => {
  const packed = gzipSync(Buffer.alloc(64 * 1024 * 1024, " "));
  const server = createServer((_request, response) => {
    response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end(packed);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await assert.rejects(askIssuer(url), {
    message: /^127\.0\.0\.1:\d+ could not be asked: its answer has more than 1048576 bytes\.$/,
  });
});

test("the name of a user of this server is no token's, unless the configuration links them", async (t) => {
  const issuer = await startIssuer(t);
  const local = ", users: [{ name: alice, role: viewer, team: lab }]";
  const refusing = open(t, configFor(issuer, "default_role: admin", local));
  const token = await issuer.token();
  assert.match(
    await sentenceOf(refusing, token),
    /has the name of a user of this server, and auth\.oidc\.link_users is/,
  );
  const linking = open(t, configFor(issuer, "default_role: admin, link_users: true", local));
  const alice = await linking.credentials.authenticate(`Bearer ${token}`);
  assert.deepEqual([alice.name, alice.role, alice.team], ["alice", "viewer", "lab"]);
  const bob = await linking.credentials.authenticate(`Bearer ${await issuer.token({ sub: "bob" })}`);
  assert.equal(bob.role, "admin");
  // A user of that name who is added later takes it over at once.
  const user = { name: "bob", role: "viewer", created_at: "2026-01-01T00:00:00Z" };
  writeFileSync(credentialsPath(linking.dataDir), JSON.stringify({ version: 1, users: [user], keys: [] }));
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(!linking.credentials.holds(bob));
});

test("a token with the name of a user that was removed is nobody's, until an admin adds that user again", async (t) => {
  const issuer = await startIssuer(t);
  for (const link of [false, true]) {
    const opened = open(t, configFor(issuer, `default_role: admin, link_users: ${link}`));
    const write = async (file: object): Promise<void> => {
      writeFileSync(credentialsPath(opened.dataDir), JSON.stringify({ version: 1, users: [], keys: [], ...file }));
      await new Promise((resolve) => setImmediate(resolve));
    };
    const token = await issuer.token();
    const before = await opened.credentials.authenticate(`Bearer ${token}`);
    const at = "2026-01-01T00:00:00Z";
    await write({ removed: [{ name: "alice", at }] });
    assert.ok(!opened.credentials.holds(before));
    const sentence =
      /has the name of a user of this server that was removed at 2026-01-01T00:00:00Z\. An admin may add it/;
    assert.match(await sentenceOf(opened, token), sentence);
    assert.match(await sentenceOf(opened, await issuer.token({ jti: "another" })), sentence);
    await write({ users: [{ name: "alice", role: "viewer", created_at: at }] });
    if (link) assert.equal((await opened.credentials.authenticate(`Bearer ${token}`)).role, "viewer");
    else assert.match(await sentenceOf(opened, token), /link_users is false/);
  }
});

test("over HTTP a token has all that a key has: /me, limits by user, audit, and 401 or 503", async (t) => {
  const issuer = await startIssuer(t);
  const { app, audited } = testServer(t, parseConfig(configFor(issuer), "test.yaml"));
  const me = async (token: string, to = app) =>
    to.inject({ method: "GET", url: `${API}/me`, headers: { authorization: `Bearer ${token}` } });
  const exp = now() + HOUR;
  const token = await issuer.token({ exp });
  assert.deepEqual((await me(token)).json(), {
    user: "alice",
    role: "user",
    team: null,
    key: null,
    scopes: null,
    models: null,
    expires_at: new Date((exp + 30) * 1000).toISOString(),
    signed_on_by: "token",
    budgets: [],
  });
  assert.equal((await me(token)).statusCode, 200);
  const wrong = await me(await issuer.token({ iss: "https://evil.example" }));
  assert.equal(wrong.statusCode, 401);
  assert.match(String(wrong.headers["www-authenticate"]), /Bearer/);
  const rows = audited.map(({ action, user }) => [action, user]);
  assert.deepEqual(rows, [
    ["auth.sign_in", "alice"],
    ["auth.refused", null],
  ]);
  issuer.failure = 500;
  const early = await me(token, testServer(t, parseConfig(configFor(issuer), "test.yaml")).app);
  assert.deepEqual([early.statusCode, early.json<{ code: string }>().code], [503, "issuer_unavailable"]);
  assert.equal(early.headers["retry-after"], "10");
});

for (const [what, yaml, sentence] of [
  [
    "an issuer without TLS",
    "issuer: http://login.example.com, audience: a, default_role: user",
    /must begin with https/,
  ],
  ["no address", "issuer: login, audience: a, default_role: user", /must be an address like https/],
  ["a fragment", 'issuer: "https://a.example/#x", audience: a, default_role: user', /no query and no fragment/],
  ["no audience", "issuer: https://a.example, default_role: user", /auth\.oidc needs audience, .* or client_id/],
  ["no roles", "issuer: https://a.example, audience: a", /gives nobody a role/],
  [
    "half a mapping",
    "issuer: https://a.example, audience: a, default_role: user, claims: { role: groups }",
    /needs both/,
  ],
  ["no issuer", "audience: a", /auth\.oidc\.audience is set, but auth\.oidc\.issuer is not/],
  ["a secret that is shared", "issuer: https://a.example, audience: a, algorithms: [HS256]", /algorithms\[0\] must be/],
] as const) {
  test(`auth.oidc with ${what} is refused`, () => {
    assert.throws(() => parseConfig(`auth: { oidc: { ${yaml} } }`, "test.yaml"), sentence);
  });
}

/** Sign-in by a browser: the whole way to the issuer and back, as a browser goes it. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { FastifyInstance, LightMyRequestResponse } from "fastify";
import { parseConfig } from "../src/config/config.ts";
import { API, testServer, type TestServer } from "./helpers/http.ts";
import { newSigningKey, type StandInIssuer, startIssuer } from "./helpers/issuer.ts";

function serverFor(t: TestContext, issuer: StandInIssuer, more = "", rest = ""): TestServer {
  const { id, secret } = issuer.client;
  const client = `client_id: ${id}, client_secret: "${secret}", name: "Our <staff>"`;
  const yaml = `auth: { oidc: { issuer: "${issuer.url}", ${client}, default_role: user${more} } }\n${rest}`;
  return testServer(t, parseConfig(yaml, "test.yaml"));
}

/** What a browser keeps and sends. */
class Browser {
  readonly cookies = new Map<string, string>();
  /** How each cookie was to be kept. */
  readonly kept: string[] = [];
  readonly #app: FastifyInstance;
  readonly headers: Readonly<Record<string, string>>;

  constructor(app: FastifyInstance, headers: Readonly<Record<string, string>> = {}) {
    this.#app = app;
    this.headers = headers;
  }

  async ask(url: string, options: { method?: "GET" | "POST"; headers?: Record<string, string> } = {}) {
    const cookie = Array.from(this.cookies, ([name, value]) => `${name}=${value}`).join("; ");
    const answer = await this.#app.inject({
      method: options.method ?? "GET",
      url,
      headers: { host: "gpu.example", ...this.headers, ...(cookie && { cookie }), ...options.headers },
    });
    for (const line of [answer.headers["set-cookie"] ?? []].flat()) this.#keep(line);
    return answer;
  }

  #keep(line: string): void {
    this.kept.push(line);
    const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
    if (/Max-Age=0/.test(line)) this.cookies.delete(name);
    else this.cookies.set(name, value);
  }

  /** To the issuer, which knows it, and back to the address that it was led to. */
  async leave(): Promise<URL> {
    const { headers, statusCode, body } = await this.ask("/auth/sign_in");
    assert.equal(statusCode, 303, body);
    const answer = await fetch(String(headers.location), { redirect: "manual" });
    assert.equal(answer.status, 302);
    return new URL(answer.headers.get("location")!);
  }

  async signIn(): Promise<LightMyRequestResponse> {
    const { pathname, search } = await this.leave();
    return this.ask(pathname + search);
  }

  me(headers: Record<string, string> = {}): Promise<LightMyRequestResponse> {
    return this.ask(`${API}/me`, { headers });
  }
}

test("a browser signs in, is known by a cookie that no script reads, and signs out", async (t) => {
  const issuer = await startIssuer(t);
  const { app, audited } = serverFor(t, issuer);
  const browser = new Browser(app);
  assert.deepEqual((await browser.ask("/auth/session")).json(), { user: null });
  const arrived = await browser.signIn();
  assert.deepEqual([arrived.statusCode, arrived.headers.location], [303, "../"]);
  const [, forgotten, session] = browser.kept;
  assert.match(browser.kept[0]!, /^altlas-sign-in-8642=[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax; Max-Age=600$/);
  assert.match(forgotten!, /^altlas-sign-in-8642=; .*Max-Age=0$/);
  assert.match(session!, /^altlas-session-8642=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
  const me = (await browser.me()).json<Record<string, unknown>>();
  assert.deepEqual([me["user"], me["role"], me["key"], me["signed_on_by"]], ["alice", "user", null, "session"]);
  assert.deepEqual((await browser.ask("/auth/session")).json(), { user: "alice" });
  assert.deepEqual(
    audited.map(({ action, user, details }) => [action, user, details]),
    [["auth.sign_in", "alice", "by session"]],
  );
  const cookie = `altlas-session-8642=${browser.cookies.get("altlas-session-8642")}`;
  assert.equal((await browser.ask("/auth/sign_out", { method: "POST" })).statusCode, 200);
  assert.equal(browser.cookies.size, 0);
  // Whoever has kept the cookie has nothing. A browser must not ask for a password because of that.
  const late = await app.inject({ url: `${API}/me`, headers: { cookie } });
  assert.equal(late.statusCode, 401);
  assert.match(late.json<{ error: string }>().error, /The sign-in of this browser has ended/);
  assert.equal(String(late.headers["www-authenticate"]), 'Bearer realm="ALT_LAS"');
});

test("behind a trusted proxy with TLS the cookies are for this host and TLS alone, and the way back has its path", async (t) => {
  const issuer = await startIssuer(t);
  const { app } = serverFor(t, issuer, "", "server: { trust_proxy: true, base_path: /gpu }");
  const browser = new Browser(app, { "x-forwarded-proto": "https", "x-forwarded-host": "gpu.example" });
  const back = await browser.leave();
  assert.equal(back.origin + back.pathname, "https://gpu.example/gpu/auth/callback");
  await browser.ask(back.pathname + back.search);
  assert.match(
    browser.kept.at(-1)!,
    /^__Host-altlas-session-8642\.gpu=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Secure$/,
  );
  assert.equal((await browser.me()).statusCode, 200);
  // Without TLS no browser would send it.
  const plain = await app.inject({ url: `${API}/me`, headers: { cookie: browser.kept.at(-1)! } });
  assert.equal(plain.statusCode, 401);
});

test("auth.oidc.redirect_url is where the issuer sends browsers back to", async (t) => {
  const issuer = await startIssuer(t);
  const { app } = serverFor(t, issuer, ", redirect_url: https://other.example/x/auth/callback");
  const browser = new Browser(app);
  const back = await browser.leave();
  assert.equal(back.origin + back.pathname, "https://other.example/x/auth/callback");
  // Whatever the connection says that a proxy opens here, browsers come by TLS.
  await browser.ask(`/auth/callback${back.search}`);
  assert.match(browser.kept.at(-1)!, /^__Host-altlas-session-8642=.*; SameSite=Strict; Secure$/);
  assert.equal((await browser.me()).statusCode, 200);
});

test("no page of another site acts by the cookie, not even one that may call with a key", async (t) => {
  const issuer = await startIssuer(t);
  const { app } = serverFor(t, issuer, "", 'server: { cors_origins: ["https://friend.example"] }');
  const browser = new Browser(app);
  await browser.signIn();
  assert.equal((await browser.me({ "sec-fetch-site": "same-origin" })).statusCode, 200);
  const foreign: Record<string, string>[] = [
    { "sec-fetch-site": "cross-site", origin: "https://evil.example" },
    { "sec-fetch-site": "same-site", origin: "http://gpu.example:1" },
    { "sec-fetch-site": "cross-site", origin: "https://friend.example" },
    { origin: "https://friend.example" },
  ];
  for (const headers of foreign) assert.equal((await browser.me(headers)).statusCode, 401, JSON.stringify(headers));
  const signOut = await browser.ask("/auth/sign_out", { method: "POST", headers: { origin: "https://evil.example" } });
  assert.equal(signOut.statusCode, 403);
  assert.equal((await browser.me()).statusCode, 200);
});

test("an answer of the issuer counts for the browser that has asked, once, and as it was asked for", async (t) => {
  const issuer = await startIssuer(t);
  const { app, audited } = serverFor(t, issuer);
  const [browser, other] = [new Browser(app), new Browser(app)];
  const back = await browser.leave();
  const answer = back.pathname + back.search;
  const refused = async (by: Browser, url: string, sentence: RegExp): Promise<void> => {
    const page = await by.ask(url);
    assert.equal(page.statusCode, 401, page.body);
    assert.match(String(page.headers["content-type"]), /^text\/html/);
    assert.match(String(page.headers["content-security-policy"]), /^default-src 'none'/);
    assert.match(page.body, sentence);
    assert.deepEqual((await by.ask("/auth/session")).json(), { user: null });
  };
  // A browser that has begun nothing, and one that has begun another one.
  await refused(other, answer, /has begun no sign-in in the last ten minutes/);
  await other.leave();
  await refused(other, answer, /no answer to a sign-in of this browser/);
  // Its state is another one.
  back.searchParams.set("state", "x");
  await refused(browser, back.pathname + back.search, /no answer to a sign-in of this browser/);
  // From another issuer, or without a code.
  for (const [name, value] of [
    ["iss", "https://evil.example"],
    ["code", ""],
  ] as const) {
    const mixed = await browser.leave();
    mixed.searchParams.set(name, value);
    await refused(browser, mixed.pathname + mixed.search, /no answer to a sign-in|does not take the code/);
  }
  const denied = await browser.leave();
  denied.searchParams.delete("code");
  denied.searchParams.set("error", "access_denied<b>");
  await refused(
    browser,
    denied.pathname + denied.search,
    /has signed nobody in\. It said &#34;access_denied&#60;b&#62;/,
  );
  // A code of somebody else was made for another verifier.
  const [mine, theirs] = [await browser.leave(), await other.leave()];
  mine.searchParams.set("code", theirs.searchParams.get("code")!);
  await refused(browser, mine.pathname + mine.search, /does not take the code of this sign-in any more/);
  assert.ok(audited.every(({ action }) => action === "auth.refused"));
  assert.equal((await browser.signIn()).statusCode, 303);
});

test("the ID token is checked as other tokens are: signature, audience, nonce, user", async (t) => {
  const issuer = await startIssuer(t);
  const { app, log } = serverFor(t, issuer, "", "");
  const browser = new Browser(app);
  const fails = async (status: number, sentence: RegExp): Promise<void> => {
    const page = await browser.signIn();
    assert.equal(page.statusCode, status, page.body);
    assert.match(page.body, sentence);
  };
  issuer.claims = { nonce: "another" };
  await fails(503, /did not finish the sign-in; the server&#39;s log says more/);
  assert.match(log.join(""), /A sign-in failed at the issuer: /);
  issuer.claims = { aud: "somebody else" };
  await fails(503, /did not finish/);
  issuer.claims = { sub: "a b" };
  await fails(401, /which is no name that a user may have here/);
  issuer.claims = {};
  // It signs with a key that it does not publish.
  const stranger = await newSigningKey("first");
  const published = issuer.keys;
  const sign = issuer.token.bind(issuer);
  issuer.token = (claims) => sign(claims, stranger);
  await fails(401, /has a signature that is wrong/);
  issuer.token = sign;
  issuer.keys = published;
  assert.equal((await browser.signIn()).statusCode, 303);
});

test("an issuer that is down is a page with a 503, and the sessions that there are go on", async (t) => {
  const issuer = await startIssuer(t);
  const { app } = serverFor(t, issuer);
  issuer.failure = 502;
  const early = await new Browser(app).ask("/auth/sign_in");
  assert.equal(early.statusCode, 503);
  assert.match(early.body, /The issuer of the token does not answer|does not answer/);
  issuer.failure = null;
  const { app: another } = serverFor(t, issuer);
  const browser = new Browser(another);
  await browser.signIn();
  await issuer.close();
  assert.equal((await browser.me()).statusCode, 200);
});

test("a session ends when nobody uses it, and in any case after its lifetime", async (t) => {
  const issuer = await startIssuer(t);
  const { app } = serverFor(t, issuer, ", session: { lifetime: 7200 }");
  const browser = new Browser(app);
  const start = Date.now();
  await browser.signIn();
  t.mock.timers.enable({ apis: ["Date"], now: start + 7_100_000 });
  assert.equal((await browser.me()).statusCode, 200);
  t.mock.timers.setTime(start + 7_300_000);
  assert.equal((await browser.me()).statusCode, 401);
});

test("the page says with whom people may sign in, and nothing of it is markup", async (t) => {
  const issuer = await startIssuer(t);
  const { app } = serverFor(t, issuer);
  assert.match((await app.inject("/")).body, /<meta name="sign-on" content="Our &#60;staff&#62;" \/>/);
  const none = testServer(t).app;
  assert.match((await none.inject("/")).body, /<meta name="sign-on" content="" \/>/);
  assert.equal((await none.inject("/auth/sign_in")).statusCode, 404);
});

test("below a path of a proxy the issuer leads back to it, and two servers of one host do not take each other's cookies", async (t) => {
  const issuer = await startIssuer(t);
  const { app } = serverFor(t, issuer, "", "server: { base_path: /team/alt-las }");
  const browser = new Browser(app);
  const { pathname, search } = await browser.leave();
  assert.equal(pathname, "/team/alt-las/auth/callback");
  await browser.ask(pathname + search);
  assert.deepEqual([...browser.cookies.keys()], ["altlas-session-8642.team.alt-las"]);
  assert.deepEqual((await browser.ask("/auth/session")).json(), { user: "alice" });
  assert.deepEqual((await browser.ask("/team/alt-las/auth/session")).json(), { user: "alice" });
});

/**
 * An OpenID Connect issuer of a test's own: a real HTTP server with real keys. It lets everybody in whom the test has named, in the code flow
 * with PKCE, and signs whatever tokens a test asks for.
 */
import { hash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from "jose";
import type { Owner } from "./server-handle.ts";

export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

export async function newSigningKey(kid: string, alg = "ES256"): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

/** @param tls makes it an HTTPS server */
export async function startIssuer(owner: Owner, tls?: ServerOptions): Promise<StandInIssuer> {
  const issuer = new StandInIssuer(await newSigningKey("first"), tls);
  await issuer.listen(0);
  owner.after(() => issuer.close());
  return issuer;
}

interface Grant {
  readonly challenge: string;
  readonly nonce: string | null;
  readonly redirect: string;
}

export class StandInIssuer {
  url = "";
  /** Those that it publishes; it signs with the last one. */
  keys: SigningKey[];
  /** What it was asked for, by path. */
  readonly asked: string[] = [];
  /** What it answers instead of what was asked for. */
  failure: number | null = null;
  /** Said of itself in its document, over what is true. */
  metadata: Readonly<Record<string, unknown>> = {};
  /** Of the ID token of the next sign-in, over what is usual. */
  claims: Readonly<Record<string, unknown>> = {};
  /** Of the client that signs people in. */
  readonly client = { id: "dashboard", secret: "s3cret of the client" };
  readonly #server: Server;
  readonly #scheme: string;
  readonly #grants = new Map<string, Grant>();

  constructor(key: SigningKey, tls?: ServerOptions) {
    this.keys = [key];
    const answer = (request: IncomingMessage, response: ServerResponse): void => void this.#answer(request, response);
    this.#server = tls === undefined ? createServer(answer) : createSecureServer(tls, answer);
    this.#scheme = tls === undefined ? "http" : "https";
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
    this.url = `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** How often its keys were asked for. */
  get looks(): number {
    return this.asked.filter((path) => path === "/keys").length;
  }

  /** A token that is right for an hour, but for what is said. @param claims undefined: left out */
  token(claims: Readonly<Record<string, unknown>> = {}, key = this.keys.at(-1)!): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const usual = { iss: this.url, aud: "alt-las", sub: "alice", iat: now, exp: now + 3600 };
    const header = { alg: key.alg, kid: key.kid };
    return new SignJWT({ ...usual, ...claims }).setProtectedHeader(header).sign(key.privateKey);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, this.url);
    this.asked.push(url.pathname);
    if (this.failure !== null) return void response.writeHead(this.failure).end();
    switch (url.pathname) {
      case "/.well-known/openid-configuration":
        return send(response, 200, {
          issuer: this.url,
          jwks_uri: `${this.url}/keys`,
          authorization_endpoint: `${this.url}/authorize`,
          token_endpoint: `${this.url}/token`,
          authorization_response_iss_parameter_supported: true,
          ...this.metadata,
        });
      case "/keys":
        return send(response, 200, { keys: this.keys.map(({ jwk }) => jwk) });
      case "/authorize":
        return this.#authorize(url, response);
      case "/token":
        return this.#redeem(request, new URLSearchParams(await text(request)), response);
      default:
        return send(response, 404, {});
    }
  }

  /** Everybody is signed in here already. */
  #authorize({ searchParams: asked }: URL, response: ServerResponse): void {
    const redirect = asked.get("redirect_uri") ?? "";
    const isRight =
      asked.get("client_id") === this.client.id &&
      asked.get("response_type") === "code" &&
      asked.get("code_challenge_method") === "S256" &&
      asked.get("scope")?.split(" ").includes("openid");
    if (!isRight || !URL.canParse(redirect)) return send(response, 400, { error: "invalid_request" });
    const code = randomBytes(16).toString("hex");
    this.#grants.set(code, { challenge: asked.get("code_challenge") ?? "", nonce: asked.get("nonce"), redirect });
    const back = new URL(redirect);
    back.searchParams.set("code", code);
    back.searchParams.set("state", asked.get("state") ?? "");
    back.searchParams.set("iss", this.url);
    response.writeHead(302, { location: back.href }).end();
  }

  /** Each code once, for the client and the verifier that it was made for. */
  async #redeem({ headers }: IncomingMessage, form: URLSearchParams, response: ServerResponse): Promise<void> {
    const grant = this.#grants.get(form.get("code") ?? "");
    this.#grants.delete(form.get("code") ?? "");
    const login = [this.client.id, this.client.secret].map((part) => encodeURIComponent(part).replaceAll("%20", "+"));
    if (headers.authorization !== `Basic ${Buffer.from(login.join(":")).toString("base64")}`)
      return send(response, 401, { error: "invalid_client" });
    const challenge = hash("sha256", form.get("code_verifier") ?? "", "base64url");
    if (grant?.challenge !== challenge || grant.redirect !== form.get("redirect_uri"))
      return send(response, 400, { error: "invalid_grant" });
    const claims = { aud: this.client.id, ...(grant.nonce !== null && { nonce: grant.nonce }), ...this.claims };
    const id_token = await this.token(claims);
    send(response, 200, { access_token: "opaque", token_type: "Bearer", id_token, expires_in: 60 });
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

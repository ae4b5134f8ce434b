/**
 * Sign-in by a browser: the authorization code flow with PKCE (RFC 6749, RFC 7636, OpenID Connect Core).
 *
 * Nothing is kept of a sign-in that is under way. Its browser keeps one secret, of which state, nonce and verifier are made, at whichever server it
 * comes back. So nobody can fill any memory with sign-ins that never end, and an answer that was meant for another browser fits none of them.
 */
import { createHmac, randomBytes } from "node:crypto";
import * as oauth from "oauth4webapi";
import { shown } from "../../common/validation.ts";
import type { Config } from "../../config/config.ts";
import { AltLasError, messageOf } from "../../errors.ts";
import type { Logger } from "../../log/log.ts";
import type { Issuer } from "./issuer.ts";
import { askIssuer } from "./issuer-http.ts";

export interface FlowParts {
  readonly config: Config["auth"]["oidc"];
  readonly issuer: Issuer;
  readonly log: Logger;
}

/** Where the browser is sent, and the secret that it keeps meanwhile. */
export interface Departure {
  readonly url: string;
  readonly secret: string;
}

/** @param back where the issuer sends the browser back to @throws {AltLasError} `issuer_unavailable` */
export async function departure({ config, issuer, log }: FlowParts, back: string): Promise<Departure> {
  const { metadata } = await issuer.published();
  const url = URL.parse(String(metadata["authorization_endpoint"]));
  if (url === null || !isFit(url, config)) {
    log.warn(`The issuer ${config.issuer} names no authorization_endpoint that can be used.`);
    throw new AltLasError("issuer_unavailable", "The issuer offers no sign-in that can be used here.");
  }
  const secret = randomBytes(32).toString("base64url");
  const asked = {
    client_id: config.client_id!,
    response_type: "code",
    redirect_uri: back,
    scope: [...new Set(["openid", ...config.scopes])].join(" "),
    state: derived(secret, "state"),
    nonce: derived(secret, "nonce"),
    code_challenge: await oauth.calculatePKCECodeChallenge(derived(secret, "verifier")),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
  return { url: url.href, secret };
}

export interface Return {
  /** Parameters that the issuer has put into the address. */
  readonly parameters: URLSearchParams;
  /** The secret that the browser has kept. */
  readonly secret: string;
  readonly back: string;
}

/** @returns the ID token, whose signature is still to be checked @throws {AltLasError} `unauthorized`, `issuer_unavailable` */
export async function arrival({ config, issuer, log }: FlowParts, given: Return): Promise<string> {
  const { metadata } = await issuer.published();
  // Which signatures are taken, the configuration says; they are checked with the token's.
  const own = { id_token_signing_alg_values_supported: config.algorithms };
  const server = { ...metadata, ...own } as unknown as oauth.AuthorizationServer;
  const client = { client_id: config.client_id!, [oauth.clockTolerance]: config.clock_tolerance };
  const { parameters, secret, back } = given;
  const checked = attempt(() => oauth.validateAuthResponse(server, client, parameters, derived(secret, "state")));
  try {
    const answer = await oauth.authorizationCodeGrantRequest(
      server,
      client,
      proofOf(config, server),
      checked,
      back,
      derived(secret, "verifier"),
      {
        [oauth.customFetch]: (url, init) => askIssuer(url, init as Parameters<typeof askIssuer>[1]),
        // The configuration lets no issuer without TLS in, but for those of this machine.
        [oauth.allowInsecureRequests]: config.issuer!.startsWith("http:"),
      },
    );
    const tokens = await oauth.processAuthorizationCodeResponse(server, client, answer, {
      expectedNonce: derived(secret, "nonce"),
      requireIdToken: true,
    });
    return tokens.id_token!;
  } catch (error) {
    throw faultOf(error, log);
  }
}

function attempt(check: () => URLSearchParams): URLSearchParams {
  try {
    const checked = check();
    if (checked.get("code")) return checked;
    throw new Error("There is no code.");
  } catch (error) {
    const said = error instanceof oauth.AuthorizationResponseError ? ` It said ${shown(error.error)}.` : "";
    if (said !== "") throw new AltLasError("unauthorized", `The issuer has signed nobody in.${said}`);
    const sentence = "This is no answer to a sign-in of this browser. Begin again.";
    throw new AltLasError("unauthorized", sentence, { cause: error });
  }
}

/** The operator learns what is wrong; of whoever signs in it is mostly no fault. */
function faultOf(error: unknown, log: Logger): AltLasError {
  const refused = error instanceof oauth.ResponseBodyError ? error.error : null;
  if (refused === "invalid_grant")
    return new AltLasError("unauthorized", "The issuer does not take the code of this sign-in any more. Begin again.");
  const cause = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : "";
  log.warn(`A sign-in failed at the issuer: ${refused ?? messageOf(error)}${cause}`);
  return new AltLasError("issuer_unavailable", "The issuer did not finish the sign-in; the server's log says more.");
}

function proofOf({ client_secret: secret }: FlowParts["config"], server: oauth.AuthorizationServer): oauth.ClientAuth {
  if (secret === undefined) return oauth.None();
  const ways = server.token_endpoint_auth_methods_supported ?? ["client_secret_basic"];
  return ways.includes("client_secret_basic") ? oauth.ClientSecretBasic(secret) : oauth.ClientSecretPost(secret);
}

function isFit({ protocol }: URL, { issuer }: FlowParts["config"]): boolean {
  return protocol === "https:" || (protocol === "http:" && issuer!.startsWith("http:"));
}

function derived(secret: string, what: "state" | "nonce" | "verifier"): string {
  return createHmac("sha256", secret).update(what).digest("base64url");
}

/** Rules between the keys of `auth.oidc`. */
import { fieldName, shown } from "../common/validation.ts";
import type { Finding, Path } from "./findings.ts";
import { ROLES } from "./accounts.ts";
import type { Config } from "./schema.ts";

const SECTION = ["auth", "oidc"];
/** Where browsers come back to, below the dashboard. */
const CALLBACK = "/auth/callback";
const ISSUER = [...SECTION, "issuer"];

function finding(path: Path, sentence: string, ...from: Path[]): Finding {
  return { path, sentence: `${fieldName(path, "")} ${sentence}`, from };
}

export function* checkSignOn({ auth }: Config): Iterable<Finding> {
  const { issuer, audience, client_id, redirect_url: back, claims, roles, default_role: fallback } = auth.oidc;
  if (issuer === undefined) {
    // The rest was meant for something.
    for (const [name, value] of Object.entries({ audience, client_id, default_role: fallback }))
      if (value !== undefined) yield finding([...SECTION, name], "is set, but auth.oidc.issuer is not.", ISSUER);
    return;
  }
  const fault = faultOfAddress(issuer);
  if (fault !== null) yield finding(ISSUER, `${fault}; got ${shown(issuer)}.`);
  if (!auth.enabled)
    yield finding(ISSUER, "is set, but auth.enabled is false, with which everybody is an admin.", ["auth", "enabled"]);
  if (audience === undefined && client_id === undefined)
    yield finding(SECTION, "needs audience, for tokens in the place of keys, or client_id, for the dashboard.", ISSUER);
  if (back !== undefined && (faultOfAddress(back) !== null || !new URL(back).pathname.endsWith(CALLBACK)))
    yield finding(
      [...SECTION, "redirect_url"],
      `must be an address like https://gpu.example.com${CALLBACK}; got ${shown(back)}.`,
    );
  const hasMeanings = ROLES.some((role) => roles[role].length > 0);
  if (fallback === undefined && (claims.role === undefined || !hasMeanings))
    yield finding(SECTION, "gives nobody a role: it needs claims.role with roles, or default_role.", ISSUER);
  else if ((claims.role === undefined) === hasMeanings)
    yield finding(SECTION, "needs both claims.role and roles, or neither.", ISSUER);
}

/** The fault of the issuer's address, in words after its name; null: none. */
export function faultOfAddress(address: string): string | null {
  const url = URL.parse(address);
  if (url === null) return "must be an address like https://login.example.com";
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isThisMachine(url.hostname)))
    return "must begin with https:// (http:// is for issuers on this machine)";
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "")
    return "must have no login, no query and no fragment";
  return null;
}

function isThisMachine(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
}

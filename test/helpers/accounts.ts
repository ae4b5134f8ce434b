/** Users of a test's configuration. */
import { hashApiKey } from "../../src/auth/secrets.ts";

/** The section `auth` for users by name with their roles; the key of each is its name. */
export function accounts(roles: Readonly<Record<string, "admin" | "user" | "viewer">>): string {
  const names = Object.keys(roles);
  const users = names.map((name) => `{ name: ${name}, role: ${roles[name]} }`);
  const keys = names.map((name) => `{ name: ${name}, user: ${name}, sha256: "${hashApiKey(name)}" }`);
  return `auth: { users: [${users.join(", ")}], keys: [${keys.join(", ")}] }\n`;
}

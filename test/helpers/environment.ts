/** Variables of the environment, which the tests of other files see as well. */
import { type Owner } from "./server-handle.ts";

/** What variables were before somebody changed them. */
const changed = new WeakMap<Owner, Map<string, string | undefined>>();

/** Sets variables until the test has ended; those that are undefined are not there. */
export function setEnvironment(owner: Owner, variables: Readonly<NodeJS.ProcessEnv>): void {
  const before = changed.get(owner) ?? new Map<string, string | undefined>();
  if (!changed.has(owner)) {
    changed.set(owner, before);
    owner.after(() => {
      changed.delete(owner);
      for (const [name, value] of before) put(name, value);
    });
  }
  for (const [name, value] of Object.entries(variables)) {
    // Of two owners that end together, the first one restores first.
    if (process.env[name] === value) continue;
    if (!before.has(name)) before.set(name, process.env[name]);
    put(name, value);
  }
}

function put(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}

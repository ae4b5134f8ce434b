/** Variables of the environment, which the tests of other files see as well. */
import type { TestContext } from "node:test";

/** What variables were before the test that sets them. */
const before = new Map<string, string | undefined>();

/** Sets variables until the test has ended. */
export function setEnvironment(t: TestContext, variables: Readonly<NodeJS.ProcessEnv>): void {
  for (const name of Object.keys(variables)) if (!before.has(name)) before.set(name, process.env[name]);
  Object.assign(process.env, variables);
  t.after(() => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    before.clear();
  });
}

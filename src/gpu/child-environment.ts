/** What the server's child processes get of its environment. */

/** A child process has no use for the server's own key. */
export function withoutSecrets(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { ALT_LAS_API_KEY: _key, ...rest } = environment;
  return rest;
}

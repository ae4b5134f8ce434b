/**
 * The changes of new versions for a configuration that was written for an earlier one. A change stands here when a configuration that is
 * still valid comes to mean something else; new keys do not, and docs/upgrading.md has all the rest.
 */
import { deviceEntries, isReachable, type Config } from "../config/config.ts";
import { keyName, leavesOf } from "../config/keys.ts";
import type { Path } from "../config/findings.ts";
import { engineTraits } from "../engine/kinds.ts";

/** The configuration that a change is held against. */
export interface Its {
  readonly config: Config;
  /** Users of the configuration and of the data directory together. */
  readonly users: number;
  /** Where the value of a key comes from: `default` where nobody has said anything. */
  readonly sourceOf: (path: Path) => string;
}

export interface Change {
  /** The version that brought it, like 0.2.0. */
  readonly since: string;
  /** One or two sentences. */
  readonly sentence: string;
  /** The keys by which it concerns a configuration; none: it does not. */
  readonly keys: (its: Its) => readonly string[];
}

export const CHANGES: readonly Change[] = [
  {
    since: "0.2.0",
    sentence:
      "A text for an instruct model is one message of a user now, put into the model's chat template. true continues it as it is, as before.",
    keys: (its) =>
      unset(its, "engine.raw") && its.config.engine.raw === undefined && hasOwnModel(its) ? ["engine.raw"] : [],
  },
  {
    since: "0.2.0",
    sentence:
      "With several users, one of them may fill half of the queue only. unlimited lets it fill all of it, as before.",
    keys: (its) => (its.users > 1 && unset(its, "callers.defaults.max_queued") ? ["callers.defaults.max_queued"] : []),
  },
  {
    since: "0.2.0",
    sentence:
      "A reference to the environment takes the type of its key, a secret of digits stays a text, and a value that is an empty variable alone is refused. ${NAME:-default} has a default.",
    keys: (its) => fromEnvironment(its),
  },
  {
    since: "0.2.0",
    sentence:
      "A change that a page of another web site sends is refused with 403, unless its origin is listed. Programs other than browsers notice nothing.",
    keys: ({ config: { auth, server } }) =>
      !auth.enabled && server.cors_origins.length === 0 ? ["auth.enabled", "server.cors_origins"] : [],
  },
  {
    since: "0.2.0",
    sentence:
      "Without authentication, X-Forwarded-Host of a trusted proxy is not enough: Host must name this machine, too.",
    keys: ({ config: { auth, server } }) =>
      !auth.enabled && server.trust_proxy !== false ? ["auth.enabled", "server.trust_proxy"] : [],
  },
  {
    since: "0.2.0",
    sentence:
      "One address may have 1,024 connections without credentials, and wrong passwords slow down the address that sends them. List a proxy in front, or its clients share both.",
    keys: ({ config: { server } }) =>
      isReachable(server) && server.trust_proxy === false ? ["server.host", "server.trust_proxy"] : [],
  },
  {
    since: "0.2.0",
    sentence:
      "Browsers get the dashboard at /, which was a 404. It shows nothing without credentials; false brings the 404 back.",
    keys: (its) =>
      isReachable(its.config.server) && unset(its, "dashboard.enabled") ? ["server.host", "dashboard.enabled"] : [],
  },
  {
    since: "0.2.0",
    sentence:
      "Programs that workers start get only what they need of the server's environment. Names that are listed here, such as HTTPS_PROXY, are passed on.",
    keys: (its) =>
      engines(its).some(({ startsProgram }) => startsProgram) && unset(its, "gpu.worker_environment")
        ? ["gpu.worker_environment"]
        : [],
  },
  {
    since: "0.2.0",
    sentence:
      "A server behind a GPU is asked for chats and embeddings, too, with a small request by each route while it is loaded. A text that its content filter has ended fails its task.",
    keys: (its) => (engines(its).some(({ computes }) => computes === "elsewhere") ? ["engine.kind"] : []),
  },
];

function unset({ sourceOf }: Its, key: string): boolean {
  return sourceOf(key.split(".")) === "default";
}

function fromEnvironment({ config, sourceOf }: Its): string[] {
  return [...leavesOf(config)].filter(({ path }) => sourceOf(path) === "environment").map(({ path }) => keyName(path));
}

function engines({ config }: Its) {
  return deviceEntries(config).map(({ entry }) => engineTraits(entry.engine?.kind ?? config.engine.kind));
}

/** The demo model answers as before: its template goes on with the text. */
function hasOwnModel({ config }: Its): boolean {
  return deviceEntries(config).some(({ entry }) => {
    const { kind = config.engine.kind, model = config.engine.model, raw } = entry.engine ?? {};
    const { model: modelIs } = engineTraits(kind);
    return modelIs === "file" && model !== undefined && raw === undefined;
  });
}

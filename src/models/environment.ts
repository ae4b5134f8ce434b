/**
 * The settings of the hub and its cache in the environment, as Hugging Face's own programs read them.
 * https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
 */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** The public hub. */
const HUB = "https://huggingface.co";

/** The folder of the hub's cache: one folder for each repository. */
export function cacheFolder(environment: NodeJS.ProcessEnv): string {
  const named = environment.HF_HUB_CACHE || environment.HUGGINGFACE_HUB_CACHE;
  return named ? fromHome(named, environment) : join(hubHome(environment), "hub");
}

/** The variable that decides on the folder of the cache, in words. */
export function whyCacheFolder(environment: NodeJS.ProcessEnv): string {
  const names = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"] as const;
  const by = names.find((name) => environment[name]);
  return by === undefined ? "where Hugging Face's own programs keep models" : `by ${by}, as for Hugging Face's own programs`;
}

/** Where the hub's own programs keep all that is theirs. */
function hubHome(environment: NodeJS.ProcessEnv): string {
  if (environment.HF_HOME) return fromHome(environment.HF_HOME, environment);
  const caches = environment.XDG_CACHE_HOME || join(homeOf(environment), ".cache");
  return join(fromHome(caches, environment), "huggingface");
}

/** The hub's address, without a slash at its end. */
export function endpointOf({ HF_ENDPOINT }: NodeJS.ProcessEnv): string {
  return (HF_ENDPOINT || HUB).replace(/\/+$/, "");
}

/** Whether no hub may be asked. */
export function isOffline({ HF_HUB_OFFLINE }: NodeJS.ProcessEnv): boolean {
  return /^(1|on|yes|true)$/i.test(HF_HUB_OFFLINE ?? "");
}

/** The key to the hub: of the environment, else the one that `hf auth login` has stored; null: there is none. */
export async function tokenOf(environment: NodeJS.ProcessEnv): Promise<string | null> {
  const named = (environment.HF_TOKEN || environment.HUGGING_FACE_HUB_TOKEN || "").trim();
  if (named !== "") return named;
  const file = environment.HF_TOKEN_PATH
    ? fromHome(environment.HF_TOKEN_PATH, environment)
    : join(hubHome(environment), "token");
  const text = await readFile(file, "utf8").catch(() => "");
  return text.trim() || null;
}

function homeOf({ HOME }: NodeJS.ProcessEnv): string {
  return HOME || homedir();
}

function fromHome(path: string, environment: NodeJS.ProcessEnv): string {
  return resolve(path.replace(/^~(?=$|[/\\])/, homeOf(environment)));
}

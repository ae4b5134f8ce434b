/**
 * Sentences for those who may not know how the machine and its network look from inside: no addresses, no paths. The sentences of drivers,
 * engines and servers elsewhere say more than we can foresee, so this goes by what such things look like.
 */
import { type Caller } from "../auth/credentials.ts";
import { type GpuStatus } from "../gpu/status.ts";

const ADDRESS = "(address)";

/** Each with what takes its place. Paths of our own API are for everybody. */
const INTERNALS: readonly (readonly [what: RegExp, instead: string])[] = [
  [/\b[a-z][a-z0-9+.-]*:\/\/[^\s"'<>)]*[^\s"'<>),.;:]/gi, ADDRESS],
  // As Node names what it could not reach: "getaddrinfo ENOTFOUND vllm.internal", "connect ECONNREFUSED /run/x.sock".
  [/\b(E[A-Z]{3,}(?:_[A-Z]+)?) (?=[^\s]*[.:/])[^\s"',;)]+/g, `$1 ${ADDRESS}`],
  [/\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b/g, ADDRESS],
  [/\[[0-9a-f:]*:[0-9a-f:.]*\](?::\d+)?/gi, ADDRESS],
  [/\blocalhost:\d+\b/g, ADDRESS],
  // Of a path the file's own name stays.
  [/(?<![\w/])(?!\/api\/v1\b)(?:\.{0,2}|~|[A-Za-z]:)[/\\](?:[^\s/\\"']+[/\\])*(?=[^\s/\\"'])/g, ""],
  [/\b[\w.-]+[/\\](?:[\w.-]+[/\\])*(?=[\w.-]+\.(?:gguf|db|json|yaml|pem|sock|so)\b)/g, ""],
];

/** A sentence without the addresses and folders in it. */
export function publicWords(sentence: string): string {
  let text = sentence;
  for (const [what, instead] of INTERNALS) text = text.replace(what, instead);
  return text;
}

/** Whether somebody may know how the machine and its network look from inside. */
export function maySeeInside({ role }: Pick<Caller, "role">): boolean {
  return role === "admin";
}

/** What this caller may read of a sentence. */
export function wordsFor(caller: Pick<Caller, "role">): (sentence: string) => string {
  return maySeeInside(caller) ? (sentence) => sentence : publicWords;
}

function words(text: string | null): string | null {
  return text === null ? null : publicWords(text);
}

/** A GPU as those may see it who may not see inside. */
export function publicGpu(gpu: GpuStatus): GpuStatus {
  return {
    ...gpu,
    ...(gpu.kind === "remote" && publicRemote(gpu)),
    reason: words(gpu.reason),
    model: words(gpu.model),
    memoryNote: words(gpu.memoryNote),
    device: words(gpu.device),
    crowded: words(gpu.crowded),
    settings:
      gpu.settings?.map(({ name, value, reason }) => ({
        name,
        value: typeof value === "string" ? publicWords(value) : value,
        reason: publicWords(reason),
      })) ?? null,
    events: gpu.events.map((event) => ({ ...event, reason: publicWords(event.reason) })),
  };
}

/** Its UUID is its address, and so is its name where it has none of its own. */
function publicRemote({ id, name, uuids }: GpuStatus): Pick<GpuStatus, "name" | "uuids"> {
  const url = URL.parse(uuids[0]?.replace(/^REMOTE-/, "") ?? "");
  const isAddress = url !== null && (name.includes(url.hostname) || publicWords(name) !== name);
  return { name: isAddress ? `server of GPU ${id}` : name, uuids: [`REMOTE-${id}`] };
}

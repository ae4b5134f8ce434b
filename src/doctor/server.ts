/** The server that runs on the data directory, or else the one where the configuration says. */
import { type Shown, wantsCertificate } from "../common/client-certificate.ts";
import { isObject, valueIn } from "../common/json-values.ts";
import { ALT_LAS, START } from "../common/paste.ts";
import { plainAnswer } from "../common/plain-answer.ts";
import { VERSION } from "../common/version.ts";
import { askServer } from "../control/client.ts";
import { AltLasError, messageOf } from "../errors.ts";
import type { Fact, Problem, Section } from "./section.ts";
import { type ServerStatus, STATUS_ROUTE } from "./server-status.ts";

export interface Asked extends Section {
  /** Whether a server has this data directory. */
  readonly runs: boolean;
}

/**
 * @param hasFolder whether there is a data directory
 * @param at where else a server may be; null: nobody knows
 */
export async function server(dataDir: string, hasFolder: boolean, at: Shown | null): Promise<Asked> {
  try {
    const status = hasFolder ? await askServer(dataDir, STATUS_ROUTE) : undefined;
    if (status !== undefined) return { ...told(status as ServerStatus), runs: true };
  } catch (error) {
    // It answers, and knows no such question.
    if (error instanceof AltLasError && error.code === "not_found")
      return {
        facts: { runs: "one of an earlier version" },
        problems: [otherVersion("an earlier version")],
        runs: true,
      };
    return { facts: { runs: "cannot be asked" }, problems: [{ problem: messageOf(error), mend: null }], runs: false };
  }
  return { ...(await elsewhere(at)), runs: false };
}

/** The section made of a server's own status. */
export function told(status: ServerStatus): Section {
  const { version, node, pid, uptime_seconds, ready, reason, gpus, open_files: files, ...rest } = status;
  const problems: Problem[] = [];
  if (version !== VERSION) problems.push(otherVersion(version));
  if (reason !== null)
    problems.push({ problem: ready ? reason : `The server is not ready: ${reason}`, mend: commandIn(reason) });
  for (const [why, names] of Map.groupBy(broken(status), ({ why: sentence }) => sentence))
    if (why !== reason)
      problems.push({ problem: `${names.map(({ what }) => what).join(", ")}: ${why}`, mend: commandIn(why) });
  return {
    facts: {
      runs: `ALT_LAS ${version} on Node ${node}, process ${pid}, for ${uptime_seconds} s`,
      addresses: rest.addresses ?? null,
      ready,
      reason,
      open_files: files === null ? null : `${files.open} of ${files.limit}`,
      memory_bytes: rest.memory_bytes,
      heap_limit_bytes: rest.heap_limit_bytes,
      gpus: gpus.map(({ id, name, status: state, models }): Fact => {
        const served = models.map((one) => [one.model, one.state].filter((part) => part !== null).join(" ")).join("; ");
        return `${id}: ${name}: ${state}${served === "" ? "" : ` (${served})`}`;
      }),
    },
    problems,
  };
}

const BROKEN = new Set(["unfit", "faulted", "lost"]);

function broken({ gpus }: ServerStatus): { readonly what: string; readonly why: string }[] {
  return gpus.flatMap(({ id, status, reason, models }) => {
    if (BROKEN.has(status)) return [{ what: `GPU ${id}`, why: reason ?? status }];
    return models
      .filter(({ state }) => state === "failed")
      .map((one) => ({
        what: `The model ${one.model ?? ""} on GPU ${id}`,
        why: one.reason ?? "It could not be loaded.",
      }));
  });
}

/** Reasons name the command that mends them between quotes. */
function commandIn(reason: string): string | null {
  return /"((?:npm run|npx alt-las|alt-las) [^"]+)"/.exec(reason)?.[1] ?? null;
}

function otherVersion(version: string): Problem {
  return {
    problem: `The server that runs is ${version === "an earlier version" ? version : `version ${version}`}, and this command ${VERSION}: stop it, and start it again.`,
    mend: START,
  };
}

async function elsewhere(at: Shown | null): Promise<Section> {
  const nobody = { facts: { runs: null }, problems: [] };
  if (at === null) return nobody;
  const { url, certificate } = at;
  let answer: unknown;
  try {
    answer = valueIn(await plainAnswer(url, "healthz", certificate));
  } catch (error) {
    const wanted = wantsCertificate(at, error);
    if (wanted !== null) return { ...nobody, problems: [{ problem: wanted, mend: null }] };
    // A server that does not speak HTTP takes the port all the same.
    const { code = "" } = error as NodeJS.ErrnoException;
    if (code === "ECONNREFUSED" || code === "ENOTFOUND" || code === "EADDRNOTAVAIL") return nobody;
  }
  if (isObject(answer) && typeof answer["version"] === "string") return toldByAll(answer, url);
  const problem = `Another program listens at ${url}, so no server can start there. A start may take another port.`;
  return { ...nobody, problems: [{ problem, mend: `${ALT_LAS} serve --port 0` }] };
}

/** The section made of a server's public words: it has other data, or its socket cannot be reached from here. */
function toldByAll({ version, status, reason, gpus }: Readonly<Record<string, unknown>>, url: string): Section {
  const counts = isObject(gpus) ? Object.entries(gpus).filter(([, count]) => count !== 0) : [];
  const isReady = status === "ready";
  const problem = `The server at ${url} is not ready: ${String(reason)} ${ALT_LAS} doctor with its --data-dir says more.`;
  return {
    facts: {
      runs: `none on these data; ALT_LAS ${String(version)} answers at ${url}`,
      ready: isReady,
      reason: typeof reason === "string" ? reason : null,
      gpus: counts.map(([state, count]) => `${String(count)} ${state}`),
    },
    problems: isReady ? [] : [{ problem, mend: null }],
  };
}

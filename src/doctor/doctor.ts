/** `alt-las doctor`: looks at everything that a report of a fault needs, and at what is wrong. It changes nothing, and shows no secret. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ClientCertificate, Shown } from "../common/client-certificate.ts";
import { wallTimeText } from "../common/clock.ts";
import type { Config } from "../config/config.ts";
import { cacheFolder } from "../models/environment.ts";
import { lastServed } from "../upgrade/upgrade.ts";
import { cards, type DeviceOptions, devicesAtAStart } from "./cards.ts";
import { data } from "./data.ts";
import { disk, limits, packages, system, versions } from "./machine.ts";
import { secretsOf, withoutSecrets } from "./secrets.ts";
import type { DoctorReport, Problem, Section } from "./section.ts";
import { server } from "./server.ts";
import { settings } from "./settings.ts";

export interface DoctorOptions {
  readonly dataDir: string;
  /** Why it is there: the end of a sentence. */
  readonly why: string;
  /** Sentences about data elsewhere. */
  readonly notes: readonly string[];
  /** `--config`. */
  readonly config: string | undefined;
  /** Where a server may be; it is asked for what the configuration says. */
  readonly urlOf: (config: NonNullable<ReturnType<typeof settings>["config"]>) => string | null;
  /** Shown to a server that wants one of its clients; absent: there is none. */
  readonly certificate?: ClientCertificate | undefined;
  /** Why the one that is named cannot be shown. */
  readonly noCertificate?: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Ask the drivers and llama.cpp; only a test has others. */
  readonly look?: typeof cards;
  readonly probe?: DeviceOptions["probe"];
}

/** Its modules are loaded where they are needed. */
async function onPostgres({ store }: Config, runs: boolean): Promise<Section> {
  const { postgres } = await import("./postgres.ts");
  return postgres(store, runs);
}

function unusable({ noCertificate }: DoctorOptions): readonly Problem[] {
  return noCertificate === undefined ? [] : [{ problem: noCertificate, mend: null }];
}

function shownAt(url: string | null, { certificate }: DoctorOptions): Shown | null {
  return url === null ? null : { url, certificate };
}

export async function doctorReport(options: DoctorOptions): Promise<DoctorReport> {
  const { dataDir, why, notes, environment, look = cards, probe } = options;
  const configuration = settings(options.config, dataDir);
  const { config } = configuration;
  const databasePath = config?.store.path ?? join(dataDir, "alt-las.db");
  const [running, found] = await Promise.all([
    server(dataDir, existsSync(dataDir), shownAt(config && options.urlOf(config), options)),
    look(config?.gpu.worker_environment ?? []),
  ]);
  const isIdle = !running.runs && config !== null;
  const sections: Record<string, Section> = {
    versions: versions(lastServed(dataDir, databasePath)),
    system: system(environment),
    limits: limits(),
    packages: packages(),
    cards: found,
    configuration,
    data: data({ dataDir, why, config, runs: running.runs }),
    ...(config?.store.url !== undefined && { postgresql: await onPostgres(config, running.runs) }),
    disk: await disk({ data: dataDir, models: cacheFolder(environment) }),
    server: running,
    // A second program that opens the cards would take memory from the server.
    ...(isIdle && {
      a_start: await devicesAtAStart({ config, dataDir, cards: found, environment, ...(probe && { probe }) }),
    }),
  };
  const problems = [...unusable(options), ...Object.values(sections).flatMap((section) => section.problems)];
  const report = {
    at: wallTimeText(),
    ok: problems.length === 0,
    facts: Object.fromEntries(
      Object.entries(sections).map(([name, { facts }]) => [
        name,
        name === "data" && notes.length > 0 ? { ...facts, notes } : facts,
      ]),
    ),
    problems,
  };
  return withoutSecrets(report, [...configuration.secrets, ...secretsOf(environment)]);
}

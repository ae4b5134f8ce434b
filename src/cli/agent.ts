/** `alt-las agent`: gives the GPUs of this machine to a cluster, until a signal stops it. */
import { said } from "../words/terminal.ts";
import { believeAuthority } from "../common/own-authority.ts";
import { connectMachine, type JoinPlace, mayTell } from "../cluster/join.ts";
import { fileOfCredentials } from "../cluster/key-files.ts";
import { openNats } from "../cluster/nats-bus.ts";
import { makeDataDir } from "../common/data-folder.ts";
import { machineName, startAgent } from "../cluster/start-agent.ts";
import { type Config, faultOfNats, natsUrls } from "../config/config.ts";
import { AltLasError, messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import { stopSignals } from "./stop-signals.ts";

export interface AgentOrigin {
  readonly config: Config;
  readonly dataDir: string;
  /** As `--name`. */
  readonly name: string | undefined;
  /** As `--join`. An empty one counts as absent: a variable may stand there that was not set. */
  readonly join: string | undefined;
}

/** Resolves when the agent has started; it goes on and ends the process itself. */
export async function agent({ config, dataDir, name: given, join }: AgentOrigin, log: Logger): Promise<void> {
  const { urls, token } = addressesOf(join === "" ? config.cluster.nats : (join ?? config.cluster.nats));
  const machine = machineName(given);
  believeAuthority(config.tls.ca);
  const hurry = new AbortController();
  const stopping = Promise.withResolvers<number>();
  let isStopping = false;
  let hasStarted = false;
  const stop = (code: number): void => {
    // Nothing runs here yet.
    if (!hasStarted) process.exit(code);
    if (isStopping) hurry.abort();
    isStopping = true;
    stopping.resolve(code);
  };
  for (const signal of stopSignals()) process.on(signal, () => stop(0));
  makeDataDir(dataDir);
  const own = { urls, token, machine, dataDir, log };
  const credentials = fileOfCredentials(config.cluster.credentials);
  const name = `alt-las agent ${machine}`;
  const bus = await (credentials === undefined ? connectMachine(own) : openNats({ urls, credentials, name, log }));
  const running = await startAgent({ config, dataDir, machine, bus, log, tells: mayTell(credentials, own) });
  hasStarted = true;
  running.refused.addEventListener("abort", () => {
    log.fatal(messageOf(running.refused.reason));
    hurry.abort();
    stop(1);
  });
  log.info({ machine, gpus: running.gpus }, "agent started");
  const sentence =
    running.gpus === 1
      ? `Machine ${machine} gives 1 GPU to the cluster.`
      : `Machine ${machine} gives ${running.gpus} GPUs to the cluster.`;
  console.log(said(sentence));
  void stopping.promise.then(async (code) => {
    log.info("stopping: running tasks may finish, a second signal stops at once");
    await running.stop(hurry.signal);
    process.exit(code);
  });
}

/** @param at `--join`, or `cluster.nats` */
function addressesOf(at: string | readonly string[] | undefined): Pick<JoinPlace, "urls" | "token"> {
  if (at === undefined)
    throw new AltLasError("bad_config", "An agent needs the address of the cluster: --join URL, or cluster.nats.");
  const [addresses = "", token] = typeof at === "string" ? at.split("#", 2) : [];
  const urls = natsUrls(typeof at === "string" ? addresses : at);
  const fault = faultOfNats(urls);
  if (fault !== null) throw new AltLasError("bad_config", `--join ${fault}`);
  return { urls, token };
}

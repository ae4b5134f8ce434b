/** `alt-las agent`: gives the GPUs of this machine to a cluster, until a signal stops it. */
import { said } from "../words/terminal.ts";
import { believeAuthority } from "../common/own-authority.ts";
import { credentialsOfMachine } from "../cluster/join.ts";
import { fileOfCredentials } from "../cluster/key-files.ts";
import { openNats } from "../cluster/nats-bus.ts";
import { makeDataDir } from "../common/data-folder.ts";
import { machineName, startAgent } from "../cluster/start-agent.ts";
import { type Config, faultOfNats } from "../config/config.ts";
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
export async function agent({ config, dataDir, name, join }: AgentOrigin, log: Logger): Promise<void> {
  const given = join === "" ? config.cluster.nats : (join ?? config.cluster.nats);
  if (given === undefined)
    throw new AltLasError("bad_config", "An agent needs the address of the cluster: --join URL, or cluster.nats.");
  const [url = "", token] = given.split("#", 2);
  const fault = faultOfNats(url);
  if (fault !== null) throw new AltLasError("bad_config", `--join ${fault}`);
  const machine = machineName(name);
  believeAuthority(config.tls.ca);
  const hurry = new AbortController();
  const stopping = Promise.withResolvers<number>();
  let isStopping = false;
  const stop = (code: number): void => {
    if (isStopping) hurry.abort();
    isStopping = true;
    stopping.resolve(code);
  };
  for (const signal of stopSignals()) process.on(signal, () => stop(0));
  makeDataDir(dataDir);
  const own = { url, token, machine, dataDir, log };
  const credentials = fileOfCredentials(config.cluster.credentials) ?? (await credentialsOfMachine(own));
  const bus = await openNats({ url, credentials, name: `alt-las agent ${machine}`, log });
  const running = await startAgent({ config, dataDir, machine, bus, log });
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

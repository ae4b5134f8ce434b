/** `alt-las agent`: gives the GPUs of this machine to a cluster, until a signal stops it. */
import { believeAuthority } from "../common/own-authority.ts";
import { openNats } from "../cluster/nats-bus.ts";
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
  /** As `--join`. */
  readonly join: string | undefined;
}

/** Resolves when the agent has started; it goes on and ends the process itself. */
export async function agent({ config, dataDir, name, join }: AgentOrigin, log: Logger): Promise<void> {
  const url = join ?? config.cluster.nats;
  if (url === undefined)
    throw new AltLasError("bad_config", "An agent needs the address of the cluster: --join URL, or cluster.nats.");
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
  const bus = await openNats({ url, name: `alt-las agent ${machine}`, log });
  const running = await startAgent({ config, dataDir, machine, bus, log });
  running.refused.addEventListener("abort", () => {
    log.fatal(messageOf(running.refused.reason));
    hurry.abort();
    stop(1);
  });
  log.info({ machine, gpus: running.gpus }, "agent started");
  console.log(`Machine ${machine} gives ${running.gpus} GPU${running.gpus === 1 ? "" : "s"} to the cluster.`);
  void stopping.promise.then(async (code) => {
    log.info("stopping: running tasks may finish, a second signal stops at once");
    await running.stop(hurry.signal);
    process.exit(code);
  });
}

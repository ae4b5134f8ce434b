/** CPU devices: each is one worker process, so its figures are those of that process. */
import { availableParallelism, totalmem } from "node:os";
import { type Usage } from "../worker.ts";
import { type Reading, type Telemetry, type Watched } from "./telemetry.ts";

/** Bytes this process and its children may use: the cgroup's limit where there is one, else the machine's memory. */
export function memoryLimit(): number {
  const machine = totalmem();
  const cgroup = process.constrainedMemory();
  return cgroup > 0 && cgroup < machine ? cgroup : machine;
}

export class CpuTelemetry implements Telemetry {
  readonly interval = 1000;
  readonly #last = new Map<string, Usage>();
  readonly #utilization = new Map<string, number>();

  async sample(devices: readonly Watched[]): Promise<ReadonlyMap<string, Reading>> {
    const memoryTotal = memoryLimit();
    const memoryFree = process.availableMemory();
    return new Map(
      devices.map(({ uuid, usage }) => [
        uuid,
        {
          utilization: this.#share(uuid, usage),
          memoryUsed: usage?.residentBytes ?? null,
          memoryTotal,
          memoryFree,
          // On a CPU everyone is an other, so neither share means anything here.
          othersMemory: 0,
          othersUtilization: 0,
        },
      ]),
    );
  }

  /** Percent of the machine's CPU time that the worker used between its last two reports. */
  #share(uuid: string, usage: Usage | null): number {
    const last = this.#last.get(uuid);
    if (usage === null) {
      this.#last.delete(uuid);
      return 0;
    }
    if (usage.at === last?.at) return this.#utilization.get(uuid) ?? 0;
    this.#last.set(uuid, usage);
    const since = last?.pid === usage.pid ? last : { cpuSeconds: 0, at: -Infinity };
    const seconds = (usage.at - since.at) / 1000;
    const percent = ((usage.cpuSeconds - since.cpuSeconds) / (seconds * availableParallelism())) * 100;
    const share = Math.round(Math.min(100, Math.max(0, percent)) * 10) / 10;
    this.#utilization.set(uuid, share);
    return share;
  }
}

import { type Reading, type Telemetry, type Watched } from "./telemetry.ts";

/** Simulated devices have no hardware to ask: nothing is used, and how much there is nobody can tell. */
const NOTHING: Reading = {
  utilization: null,
  memoryUsed: null,
  memoryTotal: null,
  memoryFree: null,
  othersMemory: 0,
  othersUtilization: 0,
};

export class SimulatedTelemetry implements Telemetry {
  readonly interval = 1000;

  async sample(devices: readonly Watched[]): Promise<ReadonlyMap<string, Reading>> {
    return new Map(devices.map(({ uuid }) => [uuid, NOTHING]));
  }
}

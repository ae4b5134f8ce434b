/** The kinds of devices, each with what the rest of the server has to know about it. Nothing else asks which kind a device is. */
import { cpuReading, engineReading, type Reading, remoteReading } from "./card/readings.ts";
import { type Device } from "./inventory/devices.ts";
import { type Usage } from "./worker/worker.ts";

/** The traits that distinguish one kind of device from the others. */
interface DeviceTraits {
  /** Whether it has cards, which a worker has to have opened, and no others. */
  readonly hasCards: boolean;
  /** Whether it computes on the cores of this machine and in its memory, which all devices of its kind share. */
  readonly isMachine: boolean;
  /** Whether it is a server that runs already, which others mend and restart. */
  readonly isServer: boolean;
  /**
   * Its figures, where they come from its worker; null: a driver tells them, or nobody does.
   * @param usage what the worker said of itself last; `last` the time before; null: nothing
   */
  readonly reading: (device: Device, usage: Usage | null, last: Usage | null) => Reading | null;
}

const DEVICES: Readonly<Record<Device["kind"], DeviceTraits>> = {
  gpu: {
    hasCards: true,
    isMachine: false,
    isServer: false,
    reading: ({ vendor }, usage) => (vendor === "other" ? engineReading(usage) : null),
  },
  cpu: {
    hasCards: false,
    isMachine: true,
    isServer: false,
    reading: (_device, usage, last) => cpuReading(usage, last),
  },
  simulated: { hasCards: false, isMachine: false, isServer: false, reading: () => null },
  remote: {
    hasCards: false,
    isMachine: false,
    isServer: true,
    reading: ({ slots }, usage) => remoteReading(usage, slots),
  },
};

/** The traits of the kind of one device. */
export function deviceTraits({ kind }: Pick<Device, "kind">): DeviceTraits {
  return DEVICES[kind];
}

/** Whether its figures come from its worker, and are gone with it. */
export function isToldByWorker(device: Device): boolean {
  return deviceTraits(device).reading(device, null, null) !== null;
}

/** The kinds of devices, each with the traits that the rest of the server needs. Nothing else asks which kind a device is. */
import { cpuReading, engineReading, type Reading, remoteReading } from "./card/readings.ts";
import type { engineTraits } from "../engine/kinds.ts";
import type { Device } from "./inventory/devices.ts";
import type { Usage } from "./worker/worker.ts";

/** The traits that distinguish one kind of device from the others. */
interface DeviceTraits {
  /** Whether it has cards. A worker has to have opened these, and no others. */
  readonly hasCards: boolean;
  /** Whether it computes on the cores of this machine and in its memory, which all devices of its kind share. */
  readonly isMachine: boolean;
  /** Where the engines compute whose models it may hold. */
  readonly hosts: ReturnType<typeof engineTraits>["computes"];
  /** Whether it is a server that others run, mend and restart. */
  readonly isServer: boolean;
  /**
   * Makes its figures of its worker's reports; null: a driver tells them, or nobody does.
   * @param usage the worker's latest report, `last` the one before; null: none
   */
  readonly reading: (device: Device, usage: Usage | null, last: Usage | null) => Reading | null;
}

const DEVICES: Readonly<Record<Device["kind"], DeviceTraits>> = {
  gpu: {
    hosts: "here",
    hasCards: true,
    isMachine: false,
    isServer: false,
    reading: ({ vendor }, usage) => (vendor === "other" ? engineReading(usage) : null),
  },
  cpu: {
    hosts: "here",
    hasCards: false,
    isMachine: true,
    isServer: false,
    reading: (_device, usage, last) => cpuReading(usage, last),
  },
  simulated: { hosts: "nowhere", hasCards: false, isMachine: false, isServer: false, reading: () => null },
  remote: {
    hosts: "elsewhere",
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

/** Whether its figures come from its worker, and end with it. */
export function isToldByWorker(device: Device): boolean {
  return deviceTraits(device).reading(device, null, null) !== null;
}

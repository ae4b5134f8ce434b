/** Made-up GPUs, as a driver would list them. */
import { type GpuIdentity } from "../../src/gpu/telemetry/telemetry.ts";

/** A whole card. */
export function card(uuid: string, pciBusId: string, rest: Partial<GpuIdentity> = {}): GpuIdentity {
  return {
    vendor: "nvidia",
    uuid,
    parentUuid: null,
    pciBusId,
    index: 0,
    name: `Card ${uuid}`,
    computeCapability: rest.vendor === "amd" ? null : 8.6,
    memoryTotal: 24 * 2 ** 30,
    slowdownTemperature: 95,
    ...rest,
  };
}

/** The `index`th MIG device of a card. */
export function migDevice(uuid: string, parent: { uuid: string; pciBusId: string }, index: number): GpuIdentity {
  return card(uuid, parent.pciBusId, { parentUuid: parent.uuid, index });
}

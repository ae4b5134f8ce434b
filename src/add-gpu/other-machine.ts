/** `--for`: a machine that is not this one, as where an image is built for it. */
import { AltLasError } from "../errors.ts";
import { shown } from "../common/validation.ts";
import { CUDA_BUILDS } from "./builds.ts";
import type { Card, Machine } from "./plan.ts";

/**
 * @param text the driver's version, and the compute capabilities of its GPUs where it is not for all: `590`, `580.65:8.0,9.0`
 * @throws {AltLasError} `invalid_input`: it is no such text
 */
export function otherMachine(text: string): Machine {
  const [, driver, list] = /^(\d+(?:\.\d+)*)(?::(\d+\.\d(?:,\d+\.\d)*))?$/.exec(text) ?? [];
  if (driver === undefined)
    throw new AltLasError(
      "invalid_input",
      `--for must be a driver's version, with or without compute capabilities, like 590 or 580:8.0,9.0; got ${shown(text)}.`,
    );
  const capabilities = list?.split(",").map(Number) ?? allCapabilities();
  return { driver, cards: capabilities.map(cardWith), notes: [] };
}

/** Those that the newest build has code for; later GPUs run it, too. */
function allCapabilities(): number[] {
  const { ptx, machineCode } = CUDA_BUILDS[0].code;
  return [...new Set([...ptx, ...machineCode])].toSorted((a, b) => a - b).map((arch) => arch / 10);
}

function cardWith(computeCapability: number): Card {
  return { name: "A GPU", computeCapability };
}

/** The figures of each GPU over the last minutes, as this tab has seen them: the server keeps none. */

/** Samples of one GPU that are kept. */
const MOST = 300;

/** @typedef {"utilization" | "memory" | "temperature" | "power"} Figure */

/**
 * Times in Unix milliseconds; a figure is NaN where the device did not tell.
 * @typedef {{ at: number[] } & Record<Figure, number[]>} Series
 */

export class History {
  /** @type {Map<number, Series>} */
  #series = new Map();

  /** @param {readonly import("./types.ts").Gpu[]} gpus @param {number} at */
  note(gpus, at) {
    for (const gpu of gpus) {
      const series = this.#series.get(gpu.id) ?? { at: [], utilization: [], memory: [], temperature: [], power: [] };
      this.#series.set(gpu.id, series);
      series.at.push(at);
      series.utilization.push(gpu.utilization ?? NaN);
      series.memory.push(memoryShare(gpu) ?? NaN);
      series.temperature.push(gpu.temperature ?? NaN);
      series.power.push(gpu.power ?? NaN);
      if (series.at.length > MOST) for (const values of Object.values(series)) values.shift();
    }
  }

  /** @param {number} gpuId @returns {Series | undefined} */
  of(gpuId) {
    return this.#series.get(gpuId);
  }

  forget() {
    this.#series.clear();
  }
}

/** Percent of its memory that is taken. @param {import("./types.ts").Gpu} gpu */
export function memoryShare({ memory_used: used, memory_total: total }) {
  return used === null || total === null || total === 0 ? null : (used / total) * 100;
}

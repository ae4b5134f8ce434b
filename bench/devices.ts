/** What a second device brings: the same work on one CPU device and on two, of one thread each. */
import { throughput } from "./generation.ts";
import { randomModel } from "./random-model.ts";
import { type Extent, median, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";
import { through } from "./streaming-client.ts";

/** Twice what two devices run at once. */
const TASKS = 32;
const CONTEXT = 1024;

export async function devices({ quick }: Extent): Promise<Section> {
  const work = { tasks: TASKS, concurrent: TASKS, maxLength: quick ? 32 : 64 };
  const pairs = quick ? 2 : 5;
  const config = { engine: { model: randomModel(), context: CONTEXT, threads: 1 } };
  const one = await startServer({ devices: "cpu:1", config });
  const two = await startServer({ devices: "cpu:2", config });
  const rate = async (server: BenchServer): Promise<number> => {
    const { tokens, seconds } = await throughput(through(server), work);
    return tokens / seconds;
  };
  const figures: { one: number; two: number }[] = [];
  try {
    // The first comparison warms both up.
    for (let pair = 0; pair <= pairs; pair++) {
      const measured = { one: await rate(one), two: await rate(two) };
      if (pair > 0) figures.push(measured);
    }
  } finally {
    await one.stop();
    await two.stop();
  }
  const speedUp = median(figures.map((pair) => pair.two / pair.one));
  return {
    name: "devices",
    about: `${TASKS} tasks of ${work.maxLength} tokens sent at once, random 100M model, one thread a device, in turns; medians of ${pairs} comparisons.`,
    rows: [
      { devices: 1, "tokens/s": Math.round(median(figures.map((pair) => pair.one))), "speed-up": 1 },
      {
        devices: 2,
        "tokens/s": Math.round(median(figures.map((pair) => pair.two))),
        "speed-up": Math.round(speedUp * 1000) / 1000,
      },
    ],
    bars: [{ what: "speed-up of two devices", measured: speedUp, atLeast: 1.8 }],
  };
}

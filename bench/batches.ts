/** Submissions in batches: tasks a second that the server takes and stores durably, a hundred in a request. */
import { type Extent, median, rounded, type Section } from "./report.ts";
import { startServer } from "./server.ts";
import { load, requestTo } from "./submit.ts";

const ITEMS = 100;
const CONNECTIONS = 16;
const BODY = JSON.stringify({
  batch: Array.from({ length: ITEMS }, () => ({ text: "Sample input text", max_length: 128 })),
  gpu_options: { strategy: "least_loaded", batch_split: true },
});

export async function batches({ quick, profile }: Extent): Promise<Section> {
  const rounds = quick ? 2 : 5;
  const seconds = quick ? 2 : 4;
  const figures: { rate: number; p99: number; errors: number }[] = [];
  // A server of its own each time, so that none begins with the queue of the one before.
  for (let round = 0; round < rounds; round++) {
    const server = await startServer({
      devices: "simulated:4",
      // The tasks are to be taken, not to be done: so few of them end that the workers cost next to nothing.
      config: {
        engine: { simulated: { tokens_per_second: 1000 } },
        gpu: { multi_gpu: { max_queue_size: 10_000_000 } },
        server: { drain_timeout: 0 },
      },
      profile,
    });
    try {
      const request = requestTo(server, "/api/v1/batch_predict", BODY);
      const {
        accepted,
        seconds: took,
        p99,
        errors,
        firstError,
      } = await load({
        ...server,
        connections: CONNECTIONS,
        seconds,
        request,
      });
      if (firstError !== "") console.error(`first error: ${firstError}`);
      figures.push({ rate: (accepted * ITEMS) / took, p99, errors });
    } finally {
      await server.stop();
    }
  }
  const rate = Math.round(median(figures.map((figure) => figure.rate)));
  return {
    name: "submit: batches",
    about:
      `POST /api/v1/batch_predict with ${ITEMS} items on ${CONNECTIONS} connections for ${seconds} s, each on disk before its answer; ` +
      `medians of ${rounds} servers. They have four simulated devices, and most of the tasks wait. The load generator runs on the same cores.`,
    rows: [
      {
        connections: CONNECTIONS,
        "tasks/s": rate,
        "p99 ms": rounded(median(figures.map(({ p99 }) => p99)), 1),
        errors: figures.reduce((sum, { errors }) => sum + errors, 0),
      },
    ],
    bars: [
      { what: `tasks/s in batches of ${ITEMS}`, measured: rate, atLeast: 30_000 },
      { what: "errors", measured: figures.reduce((sum, { errors }) => sum + errors, 0), atMost: 0 },
    ],
  };
}

/** The time that the way over NATS to an agent, and back, adds to the first token of a streamed task. */
import { type Extent, median, rounded, type Section } from "../report.ts";
import { type BenchServer, startServer } from "../server.ts";
import { load, requestTo } from "../submit.ts";
import { ClusterWorld } from "./world.ts";

const CONNECTIONS = [1, 8];
/** Seconds of one turn. */
const SECONDS = 1;
const PAIRS = { quick: 2, whole: 10 };
const FREE = "engine: { simulated: { tokens_per_second: 0 } }";
const TOKEN = "event: token";
const BODY = JSON.stringify({ text: "Sample input text", max_length: 1, stream: true });

export async function firstToken({ quick }: Extent): Promise<Section> {
  await using world = await ClusterWorld.start({}, { name: "one", config: FREE });
  await world.until("one", "ready", 2);
  const local = await startServer({
    devices: "simulated:2",
    config: { engine: { simulated: { tokens_per_second: 0 } } },
  });
  try {
    const rows = [];
    for (const connections of CONNECTIONS) {
      const found: { readonly own: number; readonly agent: number }[] = [];
      for (let pair = 0; pair < (quick ? PAIRS.quick : PAIRS.whole); pair++)
        found.push({ own: await turn(local, connections), agent: await turn(world.server, connections) });
      const own = median(found.map((one) => one.own));
      const agent = median(found.map((one) => one.agent));
      const added = median(found.map((one) => one.agent - one.own));
      rows.push({
        connections,
        "own GPU ms": rounded(own, 2),
        "agent's GPU ms": rounded(agent, 2),
        "added ms": rounded(added, 2),
      });
    }
    return {
      name: "cluster: first token",
      about: `POST /api/v1/predict of one token, streamed, to a server with 2 simulated GPUs of its own, and to one whose 2 GPUs are an agent's, by turns of ${SECONDS} s: milliseconds to the first token, medians.`,
      rows,
      bars: [],
    };
  } finally {
    await local.stop();
  }
}

async function turn(server: BenchServer, connections: number): Promise<number> {
  const request = requestTo(server, "/api/v1/predict", BODY);
  const { first, firstError } = await load({ ...server, connections, seconds: SECONDS, request, token: TOKEN });
  if (firstError !== "") throw new Error(`a task failed: ${firstError}`);
  return first;
}

/** What clients cost that wait for the ends of tasks. */
import { connect, type Socket } from "node:net";
import { cpuDuring, untilQuiet } from "./cpu-time.ts";
import { mostSockets } from "./readers.ts";
import { type Extent, median, rounded, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";

const TASKS = 100;
/** Connections that are opened at a time: more would not fit into the server's backlog. */
const WAVE = 250;

interface Round {
  /** Seconds of processor time a second. */
  readonly without: number;
  readonly with: number;
  /** Bytes of the server for each client; only those of the first round are not memory that it had already. */
  readonly resident: number;
}

export async function waiting({ quick, profile }: Extent): Promise<Section> {
  const clients = Math.min(quick ? 1000 : 10_000, mostSockets());
  const seconds = quick ? 3 : 5;
  const rounds: Round[] = [];
  const server = await startServer({
    devices: "simulated:1",
    config: {
      engine: { simulated: { tokens_per_second: 1 } },
      gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: TASKS } },
      server: { drain_timeout: 0 },
    },
    profile,
    probe: true,
  });
  try {
    while (rounds.length < (quick ? 1 : 3)) rounds.push(await measure(server, clients, seconds));
  } finally {
    await server.stop();
  }
  const thousandths = (of: (round: Round) => number): number => rounded(median(rounds.map(of)), 3);
  const what = `seconds of processor time a second that ${clients} waiting clients cost`;
  const beyond = thousandths((round) => round.with - round.without);
  return {
    name: "life: waiting clients",
    about:
      `GET /api/v1/task/<id>?wait=300 for ${TASKS} running tasks that get a token a second, each client on a keep-alive connection of its ` +
      `own. CPU: seconds of processor time of the server a second, without and with the clients, while nothing happens to their tasks ` +
      `for ${seconds} s, in turns; medians of ${rounds.length} rounds. In the end the tasks are canceled, and every client must hear of it. ` +
      "Resident: of the server, for each client, in the first round; the system's own memory for a connection is not in it.",
    rows: [
      {
        clients,
        "CPU without": thousandths((round) => round.without),
        "CPU with": thousandths((round) => round.with),
        "resident bytes a client": Math.round(rounds[0]!.resident),
      },
    ],
    bars: Number.isNaN(beyond) ? [] : [{ what, measured: beyond, atMost: 0.02 }],
  };
}

async function measure(server: BenchServer, clients: number, seconds: number): Promise<Round> {
  const batch = Array.from({ length: TASKS }, () => ({ text: "Sample input text", max_length: 30_000 }));
  const { tasks } = await server.ask<{ tasks: { task_id: string }[] }>("/api/v1/batch_predict", { batch });
  const without = await cpuOver(server, seconds);
  const { resident: before } = await server.memory();
  const answers = await letWait(
    server,
    Array.from({ length: clients }, (_, i) => tasks[i % TASKS]!.task_id),
  );
  const withClients = await cpuOver(server, seconds);
  const { resident: after } = await server.memory();
  await server.ask("/api/v1/tasks/cancel", { task_ids: tasks.map((task) => task.task_id) });
  await answers();
  return { without, with: withClients, resident: (after - before) / clients };
}

/** Sends a request for each task; what it returns resolves when all have been answered. */
async function letWait(server: BenchServer, ids: readonly string[]): Promise<() => Promise<void>> {
  const answers: Promise<string>[] = [];
  const sockets: Socket[] = [];
  for (let from = 0; from < ids.length; from += WAVE) {
    const wave = await Promise.all(ids.slice(from, from + WAVE).map(() => open(server)));
    for (const [i, socket] of wave.entries()) answers.push(answerOf(socket, requestTo(server, ids[from + i]!)));
    sockets.push(...wave);
  }
  return async () => {
    const wrong = (await Promise.all(answers)).filter((answer) => !answer.includes('"status":"canceled"'));
    for (const socket of sockets) socket.destroy();
    if (wrong.length > 0) throw new Error(`${wrong.length} of ${ids.length} clients did not hear of it: ${wrong[0]}`);
  };
}

function open({ host, port }: BenchServer): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port }, () => resolve(socket));
    socket.once("error", reject);
  });
}

function answerOf(socket: Socket, request: string): Promise<string> {
  socket.write(request);
  return new Promise((resolve) => {
    socket.once("data", (bytes) => resolve(bytes.toString()));
    socket.once("close", () => resolve("the connection was closed"));
  });
}

function requestTo({ host, port, authorization }: BenchServer, id: string): string {
  const head = [`GET /api/v1/task/${id}?wait=300 HTTP/1.1`, `Host: ${host}:${port}`, `Authorization: ${authorization}`];
  return `${head.join("\r\n")}\r\n\r\n`;
}

/** Seconds of processor time a second, once the server has done what it was sent. NaN: this system does not tell. */
async function cpuOver({ pid }: BenchServer, seconds: number): Promise<number> {
  await untilQuiet(pid);
  return (await cpuDuring(pid, seconds * 1000)) / seconds;
}

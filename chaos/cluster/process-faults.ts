/** Faults of processes and of clocks: they are killed, stopped, frozen and started again, and clocks are set. */
import { setTimeout as sleep } from "node:timers/promises";
import { type PostgresServer, signalTo } from "../../test/helpers/postgres.ts";
import type { Dice } from "../dice.ts";
import type { ClusterWorld, Hit, Post } from "./world.ts";

/** Seconds by which clocks are off. */
const OFF = [-7200, -600, -30, -2, 2, 30, 600, 7200];

/** Mostly the server that leads. */
export async function aServer(world: ClusterWorld, dice: Dice): Promise<Post> {
  const any = dice.pick(world.posts);
  return dice.chance(0.6) ? ((await world.leader()) ?? any) : any;
}

export async function killAgent({ world, dice, silenced }: Hit): Promise<void> {
  const seat = dice.pick(world.seats);
  silenced.add(seat);
  await seat.agent.kill();
  await sleep(dice.between(0, 4000));
  await again(() => world.restartAgent(seat));
}

export async function stopAgent({ world, dice, silenced }: Hit): Promise<void> {
  const seat = dice.pick(world.seats);
  silenced.add(seat);
  await Promise.race([seat.agent.stop(), sleep(2000)]);
  await seat.agent.kill();
  await again(() => world.restartAgent(seat));
}

export async function freezeAgent({ world, dice, silenced }: Hit): Promise<void> {
  const seat = dice.pick(world.seats);
  silenced.add(seat);
  seat.agent.signal("SIGSTOP");
  await sleep(dice.between(200, 6000));
  seat.agent.signal("SIGCONT");
}

export function killWorker({ world, dice }: Hit): void {
  dice.pick(world.seats).agent.killWorker(dice.between(0, 1));
}

export async function killServer(hit: Hit): Promise<void> {
  await endServer(hit, "SIGKILL");
}

export async function stopServer(hit: Hit): Promise<void> {
  await endServer(hit, "SIGTERM");
}

async function endServer({ world, dice }: Hit, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  const post = await aServer(world, dice);
  signalTo(post.server.pid, signal);
  await post.server.exit;
  await sleep(dice.between(0, 2000));
  await again(() => world.restartServer(post));
}

/** One that another has followed meanwhile ends when it wakes. */
export async function freezeServer({ world, dice }: Hit): Promise<void> {
  const { server } = await aServer(world, dice);
  signalTo(server.pid, "SIGSTOP");
  await sleep(dice.between(200, 6000));
  signalTo(server.pid, "SIGCONT");
}

/** Starts servers again that have ended by themselves because others lead, as what supervises them does. */
export async function reviveServers(world: ClusterWorld): Promise<void> {
  for (const post of world.posts)
    if (post.server.process.exitCode !== null) await again(() => world.restartServer(post));
}

export async function killNats({ world, dice }: Hit): Promise<void> {
  await world.nats.kill();
  await sleep(dice.between(0, 5000));
  await world.nats.restart();
}

export async function restartNats({ world }: Hit): Promise<void> {
  await world.nats.kill("SIGTERM");
  await world.nats.restart();
}

/** Its clients take seconds to see that it is silent. */
export async function freezeNats({ world, dice, silenced }: Hit): Promise<void> {
  for (const post of world.posts) silenced.add(post);
  world.nats.signal("SIGSTOP");
  await sleep(dice.between(200, 6000));
  world.nats.signal("SIGCONT");
}

export async function killPostgres({ world, dice }: Hit): Promise<void> {
  const postgres = world.postgres!;
  const all = postgres.processes;
  const gone = postgres.stop("SIGKILL");
  for (const pid of all) signalTo(pid, "SIGKILL");
  await gone;
  await sleep(dice.between(0, 3000));
  await untilItAnswers(postgres);
}

export async function restartPostgres({ world }: Hit): Promise<void> {
  const postgres = world.postgres!;
  await postgres.stop("SIGINT");
  await untilItAnswers(postgres);
}

/** Its shared memory may be held for a moment yet. */
async function untilItAnswers(postgres: PostgresServer): Promise<void> {
  while (!postgres.isRunning || !(await postgres.answers())) {
    if (!postgres.isRunning) await postgres.run().catch(() => {});
    await sleep(100);
  }
}

export async function freezePostgres({ world, dice }: Hit): Promise<void> {
  const postgres = world.postgres!;
  const all = postgres.processes;
  for (const pid of all) signalTo(pid, "SIGSTOP");
  await sleep(dice.between(200, 6000));
  for (const pid of all) signalTo(pid, "SIGCONT");
}

/** It stays as it is until it is set again: clocks of machines differ. */
export function setClock({ world, dice }: Hit): void {
  dice.pick([...world.seats, ...world.posts]).clock.set(dice.pick(OFF));
}

/** Without NATS or a database neither starts, and what supervises them tries again. */
async function again(start: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await start();
    } catch (error) {
      if (!/cluster\.nats|PostgreSQL|database/.test(String(error))) throw error;
      await sleep(300);
    }
  }
}

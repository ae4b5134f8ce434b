/** Faults of the network between machines. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Dice } from "../dice.ts";
import { BOTH, type Link, type Mishap, type Way } from "./link.ts";
import { aServer } from "./process-faults.ts";
import type { Hit } from "./world.ts";

/** Of the messages of a link while it disturbs them. */
const SHARE = 0.2;

export function cutAgent({ world, dice }: Hit): void {
  dice.pick(world.seats).nats.cut();
}

export async function holdAgent({ world, dice }: Hit): Promise<void> {
  await held([dice.pick(world.seats).nats], dice);
}

export async function holdAgentOneWay({ world, dice }: Hit): Promise<void> {
  await held([dice.pick(world.seats).nats], dice, [dice.pick(BOTH)]);
}

export async function slowDown({ world, dice }: Hit): Promise<void> {
  const link = dice.pick([...world.seats, ...world.posts]).nats;
  link.slow(dice.between(20, 300));
  await sleep(dice.between(500, 4000));
  link.slow(0);
}

/** Of an agent, or of a server. */
export function disturbed(mishap: Mishap): (hit: Hit) => Promise<void> {
  return async ({ world, dice }) => {
    const link = dice.pick([...world.seats, ...world.posts]).nats;
    link.disturb(() => (dice.chance(SHARE) ? mishap : null));
    await sleep(dice.between(1000, 5000));
    link.disturb(() => null);
  };
}

/** Cuts a server off. @param linksOf from what @param oneWay only one of both ways */
export function cutOff(linksOf: (post: Hit["world"]["posts"][number]) => readonly Link[], oneWay = false) {
  return async ({ world, dice }: Hit): Promise<void> => {
    const post = await aServer(world, dice);
    await held(linksOf(post), dice, oneWay ? [dice.pick(BOTH)] : BOTH);
  };
}

async function held(links: readonly Link[], dice: Dice, ways: readonly Way[] = BOTH): Promise<void> {
  for (const link of links) link.hold(ways);
  await sleep(dice.between(200, 7000));
  for (const link of links) link.release();
}

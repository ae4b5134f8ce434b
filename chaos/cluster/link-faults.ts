/** Faults of the network between machines. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Dice } from "../dice.ts";
import { BOTH, type Link, type Mishap, type Way } from "./link.ts";
import { aServer } from "./process-faults.ts";
import type { Hit, Post } from "./world.ts";

/** Of the messages of a link while it disturbs them. */
const SHARE = 0.2;
/** Milliseconds for which connections are half open, at least and at most; a long time is one in which another server has led for a while. */
const SHORT = [200, 7000] as const;
const LONG = [8000, 15_000] as const;

export function cutAgent({ world, dice, silenced }: Hit): void {
  const seat = dice.pick(world.seats);
  silenced.add(seat);
  seat.nats.cut();
}

/** @param oneWay only one of both ways */
export function holdAgent(oneWay = false) {
  return async ({ world, dice, silenced }: Hit): Promise<void> => {
    const seat = dice.pick(world.seats);
    silenced.add(seat);
    await held([seat.nats], dice, oneWay ? [dice.pick(BOTH)] : BOTH);
  };
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
export function cutOff(linksOf: (post: Post) => readonly Link[], oneWay = false) {
  return async ({ world, dice, silenced }: Hit): Promise<void> => {
    const post = await aServer(world, dice);
    const links = linksOf(post);
    if (links.includes(post.nats)) silenced.add(post);
    await held(links, dice, oneWay ? [dice.pick(BOTH)] : BOTH, dice.chance(0.1) ? LONG : SHORT);
  };
}

async function held(
  links: readonly Link[],
  dice: Dice,
  ways: readonly Way[],
  [least, most]: readonly [number, number] = SHORT,
): Promise<void> {
  for (const link of links) link.hold(ways);
  await sleep(dice.between(least, most));
  for (const link of links) link.release();
}

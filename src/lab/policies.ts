/** The policies that are compared: the strategies of the server, and rules that other routers use. */
import type { Choice, Instance, Strategy, StrategyInput } from "../scheduler/placement.ts";
import { drawFrom } from "../scheduler/placement.ts";
import { STRATEGIES } from "../task.ts";
import type { Machine } from "./machine.ts";
import { at } from "./speed.ts";
import type { Policy } from "./replay.ts";

/** The server's own strategies. */
export const OWN: readonly Policy[] = STRATEGIES.map((name) => ({ name, strategy: name }));

/** A rule by a figure: the lowest wins, and equals are drawn. */
function lowest(figure: (instance: Instance, input: StrategyInput) => number): Strategy {
  return {
    score: () => null,
    choose: (eligible, input) => {
      let least = Infinity;
      let equals: Instance[] = [];
      for (const instance of eligible) {
        const value = figure(instance, input);
        if (value < least) [least, equals] = [value, []];
        if (value === least) equals.push(instance);
      }
      return choice(drawFrom(equals, input.draw), equals.length);
    },
  };
}

function choice(instance: Instance, among: number): Choice {
  return { instance, why: { code: "drawn", among } };
}

/** On its GPU, as models share that. */
function tasksOn({ running, beside }: Instance): number {
  return running.size + beside;
}

/** As far as can be known before they have run. */
function tokensOn({ running }: Instance): number {
  let tokens = 0;
  for (const { estimatedTokens } of running) tokens += estimatedTokens;
  return tokens;
}

/** Two at random, and of these the one with fewer tasks. */
const twoChoices: Strategy = {
  score: () => null,
  choose: (eligible, { draw }) => {
    const first = Math.floor(draw * eligible.length);
    // The rest of the draw, behind its first digits, is as good as another draw.
    const rest = draw * eligible.length - first;
    const second = (first + 1 + Math.floor(rest * (eligible.length - 1))) % eligible.length;
    const [one, other] = [eligible[first]!, eligible[second]!];
    return choice(tasksOn(other) < tasksOn(one) ? other : one, 2);
  },
};

/** By what its prompt begins with, else by its caller: always to the same GPU. */
const session = lowest(({ gpuId }, { task }) => {
  const [first = hashOf(task.user)] = task.prefix;
  return Math.imul(first ^ Math.imul(gpuId + 1, 0x85ebca6b), 0xc2b2ae35) >>> 0;
});

function hashOf(text: string): number {
  let hash = 0;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash;
}

/** Least work left, by lengths that nobody can know beforehand. */
function clairvoyant(machines: readonly Machine[]): Strategy {
  return lowest(({ gpuId }) => machines[gpuId]!.secondsLeft());
}

const as = (name: string, instead: Policy["instead"]): Policy => ({
  name,
  strategy: "random",
  pushes: true,
  ...(instead && { instead }),
});

/** Rules of routers that have no queue: each request goes to a GPU when it comes, and waits there. */
export const BASELINES: readonly Policy[] = [
  as("push-random", undefined),
  as("push-two-choices", () => twoChoices),
  as("push-fewest-requests", () => lowest(tasksOn)),
  as("push-fewest-tokens", () => lowest(tokensOn)),
  as("push-session", () => session),
  as("push-known-lengths", clairvoyant),
];

/** Seconds of a middling task beside so many, on a GPU whose speed is known. */
function secondsOf({ speed, slots }: Machine, tasks: number): number {
  const [prompt, answer] = [500, 180];
  const ofPrompt = speed.prompt === null ? 0 : prompt / at(speed.prompt, slots)[tasks]!;
  return ofPrompt + answer / at(speed.generation, slots)[tasks]!;
}

/** A rule by a figure that is told the speeds. */
function fast(figure: (machine: Machine, tasks: number) => number): NonNullable<Policy["instead"]> {
  return (machines) => {
    // Of each GPU, by the tasks that run there.
    const figures = machines.map((one) => Array.from({ length: one.slots }, (_, tasks) => figure(one, tasks)));
    return lowest((instance) => figures[instance.gpuId]![tasksOn(instance)]!);
  };
}

/** Rules in the place of the strategy, in the queue of this server. The last one knows what nobody can. */
export const RULES: readonly Policy[] = [
  { name: "fewest-tasks", strategy: "random", instead: () => lowest(tasksOn) },
  { name: "fewest-tokens", strategy: "random", instead: () => lowest(tokensOn) },
  {
    name: "least-delay",
    strategy: "random",
    instead: fast((one, tasks) => (tasks + 1) * secondsOf(one, one.slots)),
  },
  { name: "fastest-first", strategy: "random", instead: fast((one, tasks) => secondsOf(one, tasks + 1)) },
  {
    name: "least-added-delay",
    strategy: "random",
    instead: fast((one, tasks) => {
      const own = secondsOf(one, tasks + 1);
      return tasks === 0 ? own : own + tasks * (own - secondsOf(one, tasks));
    }),
  },
  { name: "known-lengths", strategy: "random", instead: clairvoyant },
];

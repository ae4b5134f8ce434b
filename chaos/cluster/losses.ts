/** The machines that servers have counted as lost: they say so in their logs, which are read as they are written. So no clock that was set counts. */
import type { LogLine, Server } from "../../test/helpers/server.ts";

/** Milliseconds after the end of a fault in which it may yet cost a machine: twice the six signs of life. */
const AFTERMATH = 6000;
/** Agents that were killed, of which at least one has to be seen. */
const MANY = 5;
/** Characters of a log. */
const SHOWN = 2000;
/** Of pino. */
const ERROR = 50;
/** Its agent says so. */
const STOPPED = /was stopped/;
/** Another server leads, so this one ends, if it is not killed before. */
const TAKEN = /has obeyed another server/;

/** A fault while it lasted, in Unix milliseconds. */
export interface Happened {
  readonly words: string;
  readonly from: number;
  /** Infinity: it is not mended yet. */
  to: number;
  /** Machines that may fall silent by it, and servers that may hear nothing of any machine. */
  readonly silenced: ReadonlySet<object>;
}

interface Loss {
  readonly machine: string;
  /** The server that has said so. */
  readonly by: object;
  /** Unix milliseconds. */
  readonly at: number;
  readonly why: string;
  /** Whether that life of the server is over. */
  readonly isOver: () => boolean;
  /** By that server and by the agent, until then. */
  readonly said: string;
}

export class Losses {
  readonly #seen: Loss[] = [];
  readonly #saidBy: (machine: string) => string;

  /** @param saidBy the log of the agent of a machine */
  constructor(saidBy: (machine: string) => string) {
    this.#saidBy = saidBy;
  }

  get count(): number {
    return this.#seen.length;
  }

  /** Reads what a server has said, and says from now on. @param by that server, in all its lives */
  follow(by: object, server: Server): void {
    let rest = "";
    const { process: life } = server;
    const isOver = (): boolean => life.exitCode !== null || life.signalCode !== null;
    const take = (text: string): void => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#take(line, by, isOver, server);
    };
    take(server.stderr);
    life.stderr!.on("data", take);
  }

  #take(line: string, by: object, isOver: Loss["isOver"], { stderr }: Server): void {
    if (!line.startsWith("{")) return;
    const { level, machine, msg } = JSON.parse(line) as LogLine & { machine?: string };
    if (level !== ERROR || machine === undefined || STOPPED.test(msg)) return;
    const said = [withoutRequests(stderr), this.#saidBy(machine)].map((log) => log.slice(-SHOWN)).join("\n");
    this.#seen.push({ machine, by, at: Date.now(), why: msg, isOver, said });
  }

  /**
   * A NATS server that dies costs no machine, nor do other servers, databases and clocks.
   * @param machines by their names, as they are silenced
   * @returns a sentence for each machine that was lost though no fault had silenced it
   */
  forNothing(happened: readonly Happened[], machines: ReadonlyMap<string, object>): string[] {
    const killed = happened.filter(({ words }) => words === "agents killed");
    if (killed.length >= MANY && this.count === 0) return ["no server has lost any machine, though agents were killed"];
    return this.#seen.flatMap(({ machine, by, at, why, isOver, said }) => {
      const near = happened.filter(({ from, to }) => from <= at && at <= to + AFTERMATH);
      const isTaken = TAKEN.test(why);
      if (isTaken ? isOver() : near.some(({ silenced }) => silenced.has(machines.get(machine)!) || silenced.has(by)))
        return [];
      const beside = near.map(({ words, from, to }) => `${words} (${from - at} to ${to - at} ms)`);
      return [`machine ${machine} was lost for nothing: "${why}" Beside it: ${beside.join(", ")}\n${said}`];
    });
  }
}

/** Hundreds of them say that nobody leads. */
export function withoutRequests(log: string): string {
  const lines = log.split("\n");
  return lines.filter((line) => !line.includes("request failed")).join("\n");
}

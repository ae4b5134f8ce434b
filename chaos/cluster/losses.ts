/** The machines that servers have counted as lost: they say so in their logs, which are read as they are written. So no clock that was set counts. */
import type { LogLine, Server } from "../../test/helpers/server.ts";

/** Milliseconds after the end of a fault in which it may yet cost a machine: twice the six signs of life. */
const AFTERMATH = 6000;
/** Agents that were killed, of which at least one has to be seen. */
const MANY = 5;
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
}

export class Losses {
  readonly #seen: Loss[] = [];

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
      for (const line of lines) this.#take(line, by, isOver);
    };
    take(server.stderr);
    life.stderr!.on("data", take);
  }

  #take(line: string, by: object, isOver: Loss["isOver"]): void {
    if (!line.startsWith("{")) return;
    const { level, machine, msg } = JSON.parse(line) as LogLine & { machine?: string };
    if (level !== ERROR || machine === undefined || STOPPED.test(msg)) return;
    this.#seen.push({ machine, by, at: Date.now(), why: msg, isOver });
  }

  /**
   * A NATS server that dies costs no machine, nor do other servers, databases and clocks.
   * @param machines by their names, as they are silenced
   * @returns a sentence for each machine that was lost though no fault had silenced it
   */
  forNothing(happened: readonly Happened[], machines: ReadonlyMap<string, object>): string[] {
    const killed = happened.filter(({ words }) => words === "agents killed");
    if (killed.length >= MANY && this.count === 0) return ["no server has lost any machine, though agents were killed"];
    return this.#seen.flatMap(({ machine, by, at, why, isOver }) => {
      const near = happened.filter(({ from, to }) => from <= at && at <= to + AFTERMATH);
      const isTaken = TAKEN.test(why);
      if (isTaken ? isOver() : near.some(({ silenced }) => silenced.has(machines.get(machine)!) || silenced.has(by)))
        return [];
      const beside = near.map(({ words, from, to }) => `${words} (${from - at} to ${to - at} ms)`);
      return [`machine ${machine} was lost for nothing: "${why}" Beside it: ${beside.join(", ")}`];
    });
  }
}

/** The commands for one agent: numbered, sent in order, and sent again until the agent has obeyed them. */
import { BEAT_MS, type Command } from "./messages.ts";

/** Commands that are sent again at once, and bytes of them: more are sent again when these were obeyed. */
const MOST_AGAIN = 256;
const MOST_BYTES_AGAIN = 64 * 1024 * 1024;
/** Bytes of the commands of one message, unless a single one has more. */
const MOST_BYTES = 4 * 1024 * 1024;
/** Signs of life after which a command should have been answered. */
const PATIENCE = Math.ceil(1000 / BEAT_MS);

export class CommandLink {
  readonly #send: (first: number, commands: readonly Command[]) => void;
  /** Not obeyed yet, as far as is known. */
  #pending: Command[] = [];
  /** Number of the last one that was obeyed. */
  #obeyed = 0;
  /** Of the pending ones, how many were sent. */
  #sent = 0;
  /** Ticks since something was obeyed, or nothing was pending. */
  #waited = 0;
  #session = 1;
  #flushes = false;

  constructor(send: (first: number, commands: readonly Command[]) => void) {
    this.#send = send;
  }

  get session(): number {
    return this.#session;
  }

  /** Whether the agent has obeyed anything in this session. */
  get isObeyed(): boolean {
    return this.#obeyed > 0;
  }

  /** Commands that were not obeyed yet, as far as is known. */
  get size(): number {
    return this.#pending.length;
  }

  /** Whether such a command was not obeyed yet, as far as is known. */
  has(is: (command: Command) => boolean): boolean {
    return this.#pending.some(is);
  }

  /** All commands of one turn of the event loop travel in one message. */
  give(command: Command): void {
    this.#pending.push(command);
    if (this.#flushes) return;
    this.#flushes = true;
    setImmediate(() => {
      this.#flushes = false;
      this.#flush();
    });
  }

  /** The agent has obeyed all up to this number. */
  obeyed(number: number): void {
    const count = number - this.#obeyed;
    if (count <= 0 || count > this.#pending.length) return;
    this.#pending.splice(0, count);
    this.#sent = Math.max(0, this.#sent - count);
    this.#obeyed = number;
    this.#waited = 0;
  }

  /** Another sign of life is due: what should have been obeyed by now is sent again. */
  tick(): void {
    this.#waited = this.#sent === 0 ? 0 : this.#waited + 1;
    if (this.#waited <= PATIENCE) return;
    this.#waited = 0;
    this.#sendAll(this.#obeyed + 1, this.#pending.slice(0, Math.min(this.#sent, MOST_AGAIN)), MOST_BYTES_AGAIN);
  }

  /** Commands that are pending count no longer: the whole state of the machine says what is to be done. */
  begin(): void {
    this.#session++;
    this.#pending = [];
    this.#obeyed = 0;
    this.#sent = 0;
    this.#waited = 0;
  }

  #flush(): void {
    const commands = this.#pending.slice(this.#sent);
    if (commands.length === 0) return;
    const first = this.#obeyed + this.#sent + 1;
    this.#sent = this.#pending.length;
    this.#sendAll(first, commands);
  }

  #sendAll(first: number, commands: readonly Command[], most = Infinity): void {
    let number = first;
    let bytes = 0;
    for (const part of partsOf(commands)) {
      this.#send(number, part.commands);
      number += part.commands.length;
      bytes += part.bytes;
      if (bytes >= most) return;
    }
  }
}

interface Part {
  readonly commands: Command[];
  bytes: number;
}

/** Commands in their order, cut into messages of a size that both sides can have in memory many times. */
function partsOf(commands: readonly Command[]): readonly Part[] {
  if (commands.length === 1) return [{ commands: [...commands], bytes: MOST_BYTES }];
  const parts: Part[] = [];
  for (const command of commands) {
    const bytes = Buffer.byteLength(JSON.stringify(command));
    const last = parts.at(-1);
    if (last === undefined || last.bytes + bytes > MOST_BYTES) parts.push({ commands: [command], bytes });
    else {
      last.commands.push(command);
      last.bytes += bytes;
    }
  }
  return parts;
}

/** One channel to a worker, as a test sees it. */
import assert from "node:assert/strict";
import { type TestContext } from "node:test";
import { pino } from "pino";
import { type EngineOptions, type SimulatedFailure } from "../../src/engine/engine.ts";
import { type Channel, type ChannelEnd, type OpenChannel } from "../../src/gpu/worker/channel.ts";
import { type FromWorker, type RunRequest } from "../../src/gpu/worker/messages.ts";
import { completionOf } from "../../src/request.ts";
import { Changes } from "./changes.ts";
import { simulatedEngine } from "./devices.ts";

/** A channel to a worker of GPU 3, and all that it told. */
export class Line {
  readonly channel: Channel;
  readonly heard: FromWorker[] = [];
  readonly ends: ChannelEnd[] = [];
  readonly #changes = new Changes();

  constructor(t: TestContext, open: OpenChannel) {
    const log = pino({ level: "silent" });
    const options = { gpuId: 3, engine: simulatedEngine(), environment: {}, silenceTimeout: 60, log };
    this.channel = open(options, {
      message: (message) => this.#tell(() => this.heard.push(message)),
      closed: (end) => this.#tell(() => this.ends.push(end)),
    });
    t.after(() => this.channel.kill());
  }

  #tell(keep: () => void): void {
    assert.equal(this.ends.length, 0, "an event after the channel has closed");
    keep();
    this.#changes.tell();
  }

  until(holds: () => boolean): Promise<void> {
    return this.#changes.until(holds);
  }

  count(type: FromWorker["type"]): number {
    return this.heard.filter((message) => message.type === type).length;
  }

  load(failures: readonly SimulatedFailure[] = [], changes: Partial<EngineOptions["simulated"]> = {}): void {
    const engine = { ...simulatedEngine({ failures, ...changes }), slots: 8 };
    this.channel.send({ type: "load", gpuId: 3, engine, proveCuda: false });
  }

  /** The numbers of the runs that have ended, in order. */
  get ended(): number[] {
    return this.heard.flatMap((message) => (message.type === "step" ? message.ends.map((end) => end.run) : []));
  }

  async closed(): Promise<ChannelEnd> {
    await this.until(() => this.ends.length > 0);
    // Long enough for an event that must not come.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    return this.ends[0]!;
  }
}

export function run(number: number, text: string, maxTokens = 3): RunRequest {
  return { run: number, request: completionOf(text, { maxTokens, temperature: 0 }) };
}

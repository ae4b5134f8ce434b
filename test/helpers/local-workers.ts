/** Workers in the test's own process, and what a kernel or a driver can do to them. */
import { type ChannelOptions, type OpenChannel } from "../../src/gpu/worker/channel.ts";
import { Changes } from "./changes.ts";
import { LocalChannel, localChannel } from "../../src/gpu/worker/local-channel.ts";

export class LocalWorkers {
  readonly #changes = new Changes();
  readonly #opened: { readonly options: ChannelOptions; readonly channel: LocalChannel }[] = [];

  /** For what starts workers. */
  readonly open: OpenChannel = (options, events) => {
    const closed: typeof events.closed = (end) => {
      events.closed(end);
      this.#changes.tell();
    };
    const channel = localChannel(options, { ...events, closed });
    this.#opened.push({ options, channel });
    this.#changes.tell();
    return channel;
  };

  /** Waits until so many were started, those before included. */
  async started(count: number): Promise<void> {
    await this.#changes.until(() => this.count >= count);
  }

  /** Waits until all that were started have left or died. */
  async gone(): Promise<void> {
    await this.#changes.until(() => this.alive.length === 0);
  }

  /** How many were started. */
  get count(): number {
    return this.#opened.length;
  }

  /** Those that have neither left nor died. */
  get alive(): LocalChannel[] {
    return this.#opened.map(({ channel }) => channel).filter(({ isAlive }) => isAlive);
  }

  /** The newest one of a GPU. */
  of(gpuId = 0): LocalChannel {
    const newest = this.#opened.findLast(({ options }) => options.gpuId === gpuId);
    if (newest === undefined) throw new Error(`GPU ${gpuId} never had a worker`);
    return newest.channel;
  }
}

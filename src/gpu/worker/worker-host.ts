/**
 * The work of a worker, wherever it runs: it obeys the server's messages with one engine, and tells the results. Its surroundings, a
 * process or a stand-in for one, is its `HostPort`.
 */
import type { DeviceMemory, Engine, EngineEnd, Generation, SimulatedFaults } from "../../engine/engine.ts";
import { InFlight } from "../../common/in-flight.ts";
import { createEngine } from "../../engine/open.ts";
import { EngineFailure, reportOf } from "../../engine/failures.ts";
import { withHeaders } from "../../engine/upstream/task-headers.ts";
import { Answer } from "./answer.ts";
import { visibleCudaGpus } from "./cuda.ts";
import type { FromWorker, RunRequest, StepEnd, ToWorker } from "./messages.ts";
import { type ProcessUse, useOf } from "./process-use.ts";
import { StepMessages } from "./step-messages.ts";

/** The way out of a worker. */
export interface HostPort {
  /** @param sent called when the message is on its way for good */
  send(message: FromWorker, sent?: () => void): void;
  /** Closes the channel, after which the worker ends by itself. Messages sent before arrive. */
  leave(): void;
  /** Ends the worker as a failure of its own. @param sentence its last words */
  fail(sentence: string): void;
  /** The effect of a simulated crash or hang on the worker; absent: the same effect on the process. */
  readonly faults?: SimulatedFaults;
}

export class WorkerHost {
  readonly #port: HostPort;
  /** Among all in this process: who takes turns at what they share. */
  readonly #name: string;
  /** The runs that have not ended. */
  readonly #runs = new InFlight<number, AbortController>();
  readonly #steps: StepMessages;
  #engine: Engine | undefined;
  #deviceMemory: DeviceMemory | null = null;
  #loadShare: number | null = null;
  /** Nothing is loaded any more, and how the engine ends is of no interest. */
  #ending = false;

  constructor(port: HostPort, name = "") {
    this.#port = port;
    this.#name = name;
    this.#steps = new StepMessages((message) => port.send(message));
  }

  receive(message: ToWorker): void {
    switch (message.type) {
      case "load":
        return void this.#load(message);
      case "run":
        for (const run of message.requests) void this.#start(run);
        return;
      case "cancel":
        for (const run of message.runs) this.#runs.get(run)?.abort();
        return;
      case "count":
        return void this.#count(message);
      case "stop":
        return void this.release().then(() => this.#leave());
    }
  }

  /** Sends a heartbeat. @param own what the process around it uses */
  beat(own: ProcessUse): void {
    const engine = this.#engine;
    const serverPid = engine?.serverPid ?? null;
    const server = serverPid === null ? null : useOf(serverPid);
    this.#port.send({
      type: "heartbeat",
      cpuSeconds: own.cpuSeconds + (server?.cpuSeconds ?? 0),
      residentBytes: own.residentBytes + (server?.residentBytes ?? 0),
      serverPid,
      loadShare: this.#loadShare,
      progress: engine?.progress ?? 0,
      deviceMemory: this.#deviceMemory,
      upstream: engine?.upstream ?? null,
    });
    void this.#lookAtMemory();
  }

  /** Ends everything that runs, and gives back what the engine holds. */
  async release(): Promise<void> {
    this.#ending = true;
    await this.#engine?.stop();
  }

  async #load({ gpuId, engine: options, proveCuda }: Extract<ToWorker, { type: "load" }>): Promise<void> {
    try {
      const engine = await createEngine(options, gpuId, this.#port.faults);
      // A process would be gone by now; a stand-in would load for nobody.
      if (this.#ending) return;
      this.#engine = engine;
      const info = await engine.load((share) => (this.#loadShare = share));
      this.#loadShare = null;
      void engine.gone?.then((end) => this.#onGone(end));
      this.#port.send({ type: "loaded", info, gpus: proveCuda ? await visibleCudaGpus() : null });
    } catch (error) {
      const { code, sentence } = reportOf(error);
      // An unreachable server may recover; a refusal stays.
      const message =
        code === "gpu_lost"
          ? ({ type: "lost", sentence, nonsense: false } as const)
          : ({ type: "refused", code, sentence } as const);
      this.#port.send(message, () => this.#leave());
    }
  }

  /** The engine cannot go on. Text of its tasks that it has not told yet is cut off. */
  #onGone({ sentence, crashed, nonsense = false }: EngineEnd): void {
    if (this.#ending) return;
    if (crashed) this.#port.fail(sentence);
    else this.#port.send({ type: "lost", sentence, nonsense }, () => this.#leave());
  }

  #leave(): void {
    this.#ending = true;
    this.#port.leave();
  }

  async #start({ run, request, headers, by }: RunRequest): Promise<void> {
    const controller = new AbortController();
    const startedAt = performance.now();
    let lastTokenAt = startedAt;
    this.#runs.set(run, controller);
    try {
      const engine = this.#engine;
      if (engine === undefined) throw new EngineFailure("model_error", "The model is not loaded.");
      const answer = new Answer(request, this.#name);
      const generation: Generation = {
        request,
        signal: controller.signal,
        ...(by !== undefined && { by }),
        begin: (promptTokens) => this.#steps.start({ run, promptTokens }),
        emit: (delta, tokens) => {
          answer.add(delta);
          this.#steps.piece(run, delta, tokens, lastTokenAt === startedAt);
          lastTokenAt = performance.now();
        },
      };
      const outcome = await withHeaders(headers, () => engine.generate(generation));
      const executionTime = (lastTokenAt - startedAt) / 1000;
      const mismatch = outcome.finishReason === "stop" ? await answer.mismatch(engine.followsGrammars) : null;
      this.#end({ run, type: "finished", ...outcome, executionTime, ...(mismatch !== null && { mismatch }) });
    } catch (error) {
      this.#end({ run, type: "error", ...reportOf(error) });
    }
  }

  async #count({ question, request }: Extract<ToWorker, { type: "count" }>): Promise<void> {
    try {
      const tokens = (await this.#engine?.countTokens?.(request)) ?? null;
      this.#port.send({ type: "counted", question, tokens });
    } catch (error) {
      this.#port.send({ type: "counted", question, tokens: null, failure: reportOf(error) });
    }
  }

  #end(end: StepEnd): void {
    this.#runs.delete(end.run);
    this.#steps.end(end);
  }

  /** For the next heartbeat: a library that takes its time, or fails, must not keep this one from being sent. */
  async #lookAtMemory(): Promise<void> {
    this.#deviceMemory = (await this.#engine?.deviceMemory().catch(() => null)) ?? null;
  }
}

/**
 * A server whose GPUs are servers that lie: it takes tasks while they do, and nothing but a complete answer may complete one. Meanwhile the
 * process that asks them is killed or stops, which is held against no task.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hashApiKey } from "../src/auth/secrets.ts";
import { type GpusAnswer, type GpuView } from "../src/http/schemas/gpus.ts";
import { type TaskSummary, type TaskView } from "../src/http/schemas/tasks.ts";
import { isFinal } from "../src/task.ts";
import { Api, type User } from "./api.ts";
import { type Dice } from "./dice.ts";
import { type Given, Liar } from "./liar.ts";
import { type Life, Lives } from "./lives.ts";
import { type Report } from "./report.ts";
import { type World } from "./world.ts";

export interface LiedToParts {
  readonly world: World;
  readonly dice: Dice;
  readonly report: Report;
}

const GPUS = 3;
/** Tasks that wait or run at once. */
const AT_ONCE = 12;
/** Milliseconds between two looks of an operator at the GPUs. */
const LOOK_EVERY = 300;
/** Milliseconds in which lies have to be told, and afterwards all has to end. */
const PATIENCE = 60_000;
/** Bytes that a token has at most, as the server holds it. */
const TOKEN_BYTES = 1024;

/** How often the process that asks them is hurt, and the milliseconds before each time. */
const BLOWS = 3;
const BLOW_PAUSE = [300, 2500] as const;
/** Seconds without a sign of life after which a process is ended. */
const STALL_TIMEOUT = 5;

const USER: User = { name: "root", key: "altlas_chaos_lied_to", secret: "" };

/** @param lies that are told, at least */
export async function lieTo({ world, dice, report }: LiedToParts, lies: number): Promise<void> {
  let told = 0;
  const liar = await Liar.start(dice, () => {
    told++;
    report.counts.lies++;
  });
  const lives = new Lives(optionsFor(liar, world), world.logFile, report);
  const life = await lives.start();
  const lie = new LiedTo(new Api(lives, report), liar, dice, report);
  const tooLate = performance.now() + PATIENCE;
  liar.honest = false;
  const operator = lie.resumeFaulted();
  const clients = Array.from({ length: AT_ONCE }, () =>
    lie.submitWhile(() => told < lies && performance.now() < tooLate),
  );
  const all = [...clients, hurtShared(lives, life, dice)];
  await Promise.all(all.map((one) => one.catch((error: unknown) => report.check("liar", false, String(error)))));
  liar.honest = true;
  await lie.expectAllEnded();
  await lie.expectAllServe();
  lie.over.abort();
  await operator;
  await lives.stop(life, false);
  liar.close();
}

/** The pauses are short, so that it is also hurt while it starts. */
async function hurtShared(lives: Lives, life: Life, dice: Dice): Promise<void> {
  for (let blow = 0; blow < BLOWS; blow++) {
    await sleep(dice.between(...BLOW_PAUSE));
    lives.hurtShared(life, dice.chance(0.3) ? "SIGSTOP" : "SIGKILL");
  }
}

/** Everything that is tried with one such server. */
class LiedTo {
  readonly #api: Api;
  readonly #liar: Liar;
  readonly #dice: Dice;
  readonly #report: Report;
  readonly over = new AbortController();
  /** The tasks that were accepted, by what they ask for. */
  readonly #tasks = new Map<string, { readonly id: string; readonly maxLength: number }>();
  #texts = 0;

  constructor(api: Api, liar: Liar, dice: Dice, report: Report) {
    this.#api = api;
    this.#liar = liar;
    this.#dice = dice;
    this.#report = report;
  }

  /** One client: a task after the other. */
  async submitWhile(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      const text = await this.#submit(null);
      if (text === null) await sleep(100);
      else await this.#api.ask(USER, "GET", `/task/${this.#tasks.get(text)!.id}?wait=5`);
    }
  }

  /** An operator, who looks what the GPUs show, and has them tried again at once. */
  async resumeFaulted(): Promise<void> {
    while (!this.over.signal.aborted) {
      for (const gpu of await this.#gpus()) {
        this.#report.check("liar", isSane(gpu), `GPU ${gpu.id} shows figures that cannot be`, gpu);
        if (gpu.status !== "ready") await this.#api.ask(USER, "POST", `/gpus/${gpu.id}/resume`);
      }
      await sleep(LOOK_EVERY);
    }
  }

  async expectAllEnded(): Promise<void> {
    for (const [text, { id, maxLength }] of this.#tasks) {
      const answer = await this.#api.ask(USER, "GET", `/task/${id}?wait=${PATIENCE / 1000}`);
      if (answer?.status !== 200) {
        this.#report.check("kept", false, `asking for ${id} gave ${answer?.status}`, answer?.body);
        continue;
      }
      const view = answer.body as TaskView;
      this.#report.check("ended", isFinal(view.status), `task ${id} does not end`, view);
      this.#expectTruth(view, maxLength, this.#liar.given(text));
    }
    this.#tasks.clear();
  }

  /** Those that lie no more are believed again. */
  async expectAllServe(): Promise<void> {
    for (let gpuId = 0; gpuId < GPUS; gpuId++) {
      const tooLate = performance.now() + PATIENCE;
      let text: string | null = null;
      while (text === null && performance.now() < tooLate) {
        text = await this.#submit(gpuId);
        if (text === null) await sleep(LOOK_EVERY);
      }
      const id = text === null ? null : this.#tasks.get(text)!.id;
      const answer = id === null ? null : await this.#api.ask(USER, "GET", `/task/${id}?wait=${PATIENCE / 1000}`);
      const view = answer?.body as TaskView | undefined;
      this.#report.check(
        "liar",
        view?.status === "completed",
        `GPU ${gpuId} does not serve again`,
        view ?? (await this.#gpus()),
      );
    }
    await this.expectAllEnded();
  }

  /** @returns the text of the task; null: it was refused */
  async #submit(gpuId: number | null): Promise<string | null> {
    const text = `What is the truth about number ${++this.#texts}?`;
    const maxLength = this.#dice.between(1, 40);
    const body = { text, max_length: maxLength, gpu_options: { specific_gpu_id: gpuId } };
    const answer = (await this.#api.ask(USER, "POST", "/predict", { body }))!;
    if (answer.status !== 200) {
      const holds = answer.status === 503 || answer.status === 429;
      this.#report.check("valid", holds, `a task was answered with ${answer.status}`, answer.body);
      return null;
    }
    this.#tasks.set(text, { id: (answer.body as TaskSummary).task_id, maxLength });
    return text;
  }

  async #gpus(): Promise<readonly GpuView[]> {
    const answer = await this.#api.ask(USER, "GET", "/gpus");
    return (answer!.body as GpusAnswer).gpus;
  }

  #expectTruth(view: TaskView, maxLength: number, given: readonly Given[]): void {
    const { task_id, status, result, attempts } = view;
    const crashed = attempts.some(({ reason }) => reason === "worker_crash");
    this.#report.check(
      "liar",
      !crashed,
      `a lie, or the death of the shared process, was held against ${task_id}`,
      view,
    );
    if (status !== "completed") return;
    const text = result?.text ?? "";
    const isCut = Buffer.byteLength(text) <= maxLength * TOKEN_BYTES;
    const isGiven = given.some(
      (one) => one.text === text || (one.isTooMuch && text !== "" && one.text.startsWith(text)),
    );
    this.#report.check("liar", isGiven, `task ${task_id} was completed with what was never a complete answer`, {
      view,
      given,
    });
    const { completion_tokens, prompt_tokens } = result!.usage;
    const isCounted =
      isCount(completion_tokens) &&
      completion_tokens <= maxLength &&
      (prompt_tokens === null || isCount(prompt_tokens));
    this.#report.check("liar", isCut && isCounted, `task ${task_id} has more than was asked for`, { view, maxLength });
  }
}

/** The server's own figures, as they are shown. */
function isSane({ upstream, utilization, load }: GpuView): boolean {
  const { running = null, waiting = null, slots = null, kv_cache_use = null } = upstream ?? {};
  const counts = [running, waiting, slots].every((count) => count === null || isCount(count));
  const shares = kv_cache_use === null || (kv_cache_use >= 0 && kv_cache_use <= 1);
  return counts && shares && load >= 0 && (utilization === null || utilization >= 0);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** In a folder of its own, with the same log. @returns options of `alt-las serve` */
function optionsFor(liar: Liar, { folder }: World): readonly string[] {
  const config = {
    auth: {
      users: [{ name: USER.name, role: "admin" }],
      keys: [{ name: "key", user: USER.name, sha256: hashApiKey(USER.key) }],
    },
    server: { drain_timeout: 1 },
    gpu: {
      devices: "auto",
      health_check_interval: 2,
      stall_timeout: STALL_TIMEOUT,
      multi_gpu: { max_concurrent_tasks_per_gpu: 4 },
    },
    engine: {
      kind: "openai",
      url: Array.from({ length: GPUS }, (_, number) => liar.urlOf(number)),
      first_byte_timeout: 1,
      token_timeout: 1,
    },
    tasks: { retry_backoff: 0.1 },
  };
  const configFile = join(folder, "lied-to.yaml");
  writeFileSync(configFile, JSON.stringify(config));
  return ["--config", configFile, "--port", "0", "--data-dir", join(folder, "lied-to")];
}

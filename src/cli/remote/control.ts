/** `alt-las cancel`, `drain` and `resume`. */
import { said } from "../../words/terminal.ts";
import { AltLasError } from "../../errors.ts";
import type { GpuDetails } from "../../http/schemas/gpus.ts";
import type { TaskView } from "../../http/schemas/tasks.ts";
import { wrap } from "../table.ts";
import { ask, type Remote } from "./client.ts";
import type { Places } from "./follow.ts";
import { idsMeant } from "./ids.ts";
import { jsonText, legible } from "../../common/legible.ts";

export interface CancelOptions extends Places {
  readonly remote: Remote;
  /** As idsMeant takes them. */
  readonly ids: readonly string[];
  /** One answer a line, also the refusals. */
  readonly json: boolean;
}

/** Cancels each; one that cannot be canceled keeps no other from it. @returns 1 when one of them was not @throws {AltLasError} as `idsMeant` */
export async function cancelTasks({ remote, ids: given, json, out, err }: CancelOptions): Promise<number> {
  let code = 0;
  for (const id of new Set(await idsMeant(remote, given))) {
    try {
      const task = (await ask(remote, `task/${id}/cancel`, "task_id", { method: "POST" })) as TaskView;
      out.write(json ? `${jsonText(task)}\n` : said(`${id} is ${task.status}.\n`));
    } catch (error) {
      if (!(error instanceof AltLasError)) throw error;
      code = 1;
      if (json) out.write(`${jsonText({ task_id: id, error: error.message, code: error.code })}\n`);
      else
        err.write(
          `${wrap(said(error.message.includes(id) ? error.message : `${id}: ${error.message}`), err.columns ?? Infinity)}\n`,
        );
    }
  }
  return code;
}

export interface GpuOptions extends Places {
  readonly remote: Remote;
  readonly gpuId: number;
  readonly json: boolean;
}

/** @param body of `POST /gpus/<id>/drain`: the server says what is wrong with it @throws {AltLasError} as `ask` */
export async function drainGpu(options: GpuOptions, body: object): Promise<void> {
  tellState(options, await change(options, "drain", body));
}

/** @throws {AltLasError} as `ask` */
export async function resumeGpu(options: GpuOptions): Promise<void> {
  tellState(options, await change(options, "resume", {}));
}

async function change({ remote, gpuId }: GpuOptions, what: "drain" | "resume", body: object): Promise<GpuDetails> {
  const answer = await ask(remote, `gpus/${gpuId}/${what}`, "running_tasks", { method: "POST", body });
  return answer as GpuDetails;
}

function tellState({ json, out }: GpuOptions, gpu: GpuDetails): void {
  if (json) return out.write(`${jsonText(gpu, 2)}\n`);
  const { id, name, status, reason, task_count } = legible(gpu);
  const running = task_count === 0 ? "" : task_count === 1 ? " 1 task runs there." : ` ${task_count} tasks run there.`;
  const why = reason === null ? "" : ` ${reason}`;
  out.write(`${wrap(said(`GPU ${id} (${name}) is ${status}.${why}${running}`), out.columns ?? Infinity)}\n`);
}

/** The command `alt-las gpus`: asks a running server for its GPUs. */
import { type Columns, gpuPage, gpusTable } from "./gpus-table.ts";
import type { GpuDetails, GpusAnswer } from "../http/schemas/gpus.ts";
import { ask, type Remote } from "./remote/client.ts";
import { jsonText, legible } from "../common/legible.ts";
import { said } from "../words/terminal.ts";
import { wrap } from "./table.ts";

export interface GpusOptions extends Remote {
  /** Everything about this one; undefined: a table of all. */
  readonly gpuId: number | undefined;
  /** Print the server's answer as it is, instead of a table. */
  readonly json: boolean;
  readonly columns: Columns;
  readonly colour?: boolean;
}

/** `gpus [id]`: the text to print. @throws {AltLasError} as `ask` */
export async function gpusCommand(options: GpusOptions): Promise<string> {
  const { gpuId, json, columns, colour = false } = options;
  const answer =
    gpuId === undefined ? await ask(options, "gpus", "gpus") : await ask(options, `gpus/${gpuId}`, "running_tasks");
  if (json) return jsonText(answer, 2);
  const shown = legible(answer);
  if (gpuId !== undefined) return gpuPage(shown as GpuDetails, columns, { colour });
  const { gpus, notes = [] } = shown as GpusAnswer;
  const told = notes.map((note) => wrap(said(`A GPU driver has no GPU to offer: ${note}`), columns ?? Infinity));
  return [gpusTable(gpus, columns, { colour }), ...told].join("\n\n");
}

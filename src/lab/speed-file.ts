/** The file that `alt-las lab calibrate` writes: the speeds of a server's GPUs, as they were measured. */
import { checkFor } from "../common/ajv.ts";
import { readJsonFile } from "../common/json-file.ts";
import { shown } from "../common/validation.ts";
import { type Static, Type } from "../common/type.ts";
import { AltLasError } from "../errors.ts";
import { type OnGpu, REFERENCE_CONTEXT, REFERENCE_KV_BYTES } from "./fleet.ts";
import type { MeasuredGpu, MeasuredModel } from "./models.ts";
import type { Curve } from "./speed.ts";

const Point = Type.Array(Type.Number({ minimum: 0 }), { minItems: 2, maxItems: 2 });
const Speeds = Type.Array(Point, { minItems: 1 });

const SpeedFile = Type.Object(
  {
    /** Where and when it was measured, for people. */
    measured: Type.Optional(Type.String()),
    gpus: Type.Array(
      Type.Object(
        {
          gpu_id: Type.Integer({ minimum: 0 }),
          /** Which model it was; absent: the only one, or all. */
          model: Type.Optional(Type.String()),
          slots: Type.Integer({ minimum: 1, maximum: 256 }),
          prompt: Type.Union([Speeds, Type.Null()]),
          generation: Speeds,
          start_seconds: Type.Number({ minimum: 0, default: 0 }),
          load_seconds: Type.Number({ minimum: 0, default: 0 }),
          keeps_prompts: Type.Boolean({ default: true }),
          context: Type.Integer({ minimum: 16, default: REFERENCE_CONTEXT }),
          kv_bytes_per_token: Type.Integer({ minimum: 0, default: REFERENCE_KV_BYTES }),
          /** Bytes that the model takes there, and those of the GPU in which models may be. */
          memory_bytes: Type.Optional(Type.Integer({ minimum: 0 })),
          gpu_memory_bytes: Type.Optional(Type.Integer({ minimum: 1 })),
        },
        { additionalProperties: false },
      ),
      { minItems: 1 },
    ),
  },
  { additionalProperties: false },
);
export type SpeedFile = Static<typeof SpeedFile>;

const check = checkFor(SpeedFile);

type Entry = SpeedFile["gpus"][number];

/** @throws {AltLasError} `bad_config`: it cannot be read, or is no such file */
export function readSpeeds(file: string): readonly MeasuredGpu[] {
  const found = readJsonFile(file, check);
  if (found === undefined) throw new AltLasError("bad_config", `There is no file ${file}.`);
  const { gpus } = found as SpeedFile;
  const byGpu = Map.groupBy(gpus, ({ gpu_id: id }) => id);
  return Array.from({ length: byGpu.size }, (_, id) => {
    const entries = byGpu.get(id);
    if (entries === undefined)
      throw new AltLasError("bad_config", `${file}: gpu_id must count from 0 without a gap; ${id} is missing.`);
    for (const entry of entries) {
      checkCurve(file, id, "generation", entry.generation, entry.slots);
      if (entry.prompt !== null) checkCurve(file, id, "prompt", entry.prompt, entry.slots);
    }
    return gpuOf(entries, modelsOf(file, id, entries));
  });
}

/** @returns empty: there is one entry without a name */
function modelsOf(file: string, id: number, entries: readonly Entry[]): ReadonlyMap<string, MeasuredModel> {
  const models = new Map<string, MeasuredModel>();
  for (const entry of entries) {
    if (entry.model === undefined && entries.length === 1) continue;
    if (entry.model === undefined || models.has(entry.model)) {
      const sentence = `${file}: GPU ${id} is there ${entries.length} times, so each must name another model; got ${shown(entry.model)}.`;
      throw new AltLasError("bad_config", sentence);
    }
    models.set(entry.model, { ...onGpu(entry), memory: entry.memory_bytes ?? null });
  }
  return models;
}

function gpuOf(entries: readonly Entry[], measured: ReadonlyMap<string, MeasuredModel>): MeasuredGpu {
  const slots = Math.max(...entries.map((entry) => entry.slots));
  const memory = entries.find((entry) => entry.gpu_memory_bytes !== undefined)?.gpu_memory_bytes ?? null;
  return { ...onGpu(entries[0]!), slots, memory, measured };
}

function onGpu(entry: Entry): OnGpu {
  return {
    slots: entry.slots,
    context: entry.context,
    kvBytesPerToken: entry.kv_bytes_per_token,
    speed: {
      prompt: entry.prompt as Curve | null,
      generation: entry.generation as unknown as Curve,
      startSeconds: entry.start_seconds,
      loadSeconds: entry.load_seconds,
      keepsPrompts: entry.keeps_prompts,
    },
  };
}

function checkCurve(
  file: string,
  id: number,
  what: string,
  curve: SpeedFile["gpus"][number]["generation"],
  slots: number,
) {
  let before = 0;
  for (const [inUse = 0, tokens = 0] of curve) {
    if (!Number.isInteger(inUse) || inUse <= before || tokens <= 0) {
      const allowed = "pairs of slots in use, rising integers from 1 on, and tokens a second, above 0";
      throw new AltLasError(
        "bad_config",
        `${file}: ${what} of GPU ${id} must be ${allowed}; got [${inUse}, ${tokens}].`,
      );
    }
    before = inUse;
  }
  if (before < slots) {
    const problem = `was measured with up to ${before} slots in use, but it has ${slots}`;
    throw new AltLasError(
      "bad_config",
      `${file}: ${what} of GPU ${id} ${problem}. Measure it anew, or lower its slots.`,
    );
  }
}

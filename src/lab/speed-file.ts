/** The file that `alt-las lab calibrate` writes: the speeds of a server's GPUs, as they were measured. */
import { checkFor } from "../common/ajv.ts";
import { readJsonFile } from "../common/json-file.ts";
import { type Static, Type } from "../common/type.ts";
import { AltLasError } from "../errors.ts";
import { type LabGpu, REFERENCE_CONTEXT, REFERENCE_KV_BYTES } from "./fleet.ts";
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
          slots: Type.Integer({ minimum: 1, maximum: 256 }),
          prompt: Type.Union([Speeds, Type.Null()]),
          generation: Speeds,
          start_seconds: Type.Number({ minimum: 0, default: 0 }),
          load_seconds: Type.Number({ minimum: 0, default: 0 }),
          keeps_prompts: Type.Boolean({ default: true }),
          context: Type.Integer({ minimum: 16, default: REFERENCE_CONTEXT }),
          kv_bytes_per_token: Type.Integer({ minimum: 0, default: REFERENCE_KV_BYTES }),
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

/** @throws {AltLasError} `bad_config`: it cannot be read, or is no such file */
export function readSpeeds(file: string): readonly LabGpu[] {
  const found = readJsonFile(file, check);
  if (found === undefined) throw new AltLasError("bad_config", `There is no file ${file}.`);
  const { gpus } = found as SpeedFile;
  const ordered = gpus.toSorted((one, other) => one.gpu_id - other.gpu_id);
  for (const [id, gpu] of ordered.entries()) {
    if (gpu.gpu_id !== id)
      throw new AltLasError("bad_config", `${file}: gpu_id must count from 0 without a gap; ${id} is missing.`);
    checkCurve(file, id, "generation", gpu.generation, gpu.slots);
    if (gpu.prompt !== null) checkCurve(file, id, "prompt", gpu.prompt, gpu.slots);
  }
  return ordered.map((gpu) => ({
    slots: gpu.slots,
    context: gpu.context,
    kvBytesPerToken: gpu.kv_bytes_per_token,
    speed: {
      prompt: gpu.prompt as Curve | null,
      generation: gpu.generation as unknown as Curve,
      startSeconds: gpu.start_seconds,
      loadSeconds: gpu.load_seconds,
      keepsPrompts: gpu.keeps_prompts,
    },
  }));
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

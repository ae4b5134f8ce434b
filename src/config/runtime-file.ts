/** `runtime.json` in the data directory: values that were set while the server ran. */
import { join } from "node:path";
import { type Static, Type } from "../common/type.ts";
import { readJsonFile, writeJsonFile } from "../common/json-file.ts";
import { checkFor } from "../common/ajv.ts";
import { messageOf } from "../errors.ts";

export const RUNTIME_FILE = "runtime.json";

const strict = { additionalProperties: false };

const RuntimeValue = Type.Object(
  {
    /** The keys from the root to the value. */
    path: Type.Array(Type.String(), { minItems: 1 }),
    value: Type.Unknown(),
    /** The value that the file, the environment or the command line had then; null: none. While they say the same, `value` holds. */
    instead_of: Type.Unknown(),
    /** The user who set it. */
    by: Type.String({ minLength: 1 }),
    /** ISO 8601. */
    at: Type.String({ minLength: 1 }),
  },
  strict,
);
/** A value that was set while the server ran. */
export type RuntimeValue = Static<typeof RuntimeValue>;

const File = Type.Object(
  {
    version: Type.Literal(1, { allowed: "1; another version of ALT_LAS may have written the file" }),
    values: Type.Array(Type.Unknown()),
  },
  strict,
);

const validateFile = checkFor(File);
const isRuntimeValue = checkFor(RuntimeValue);

export class RuntimeFile {
  readonly path: string;

  constructor(dataDir: string) {
    this.path = join(dataDir, RUNTIME_FILE);
  }

  /** Never fails: a server has to start without what it was told while it ran. @param warn gets a sentence for all that is ignored */
  read(warn: (sentence: string) => void): readonly RuntimeValue[] {
    try {
      const { values } = (readJsonFile(this.path, validateFile) ?? { version: 1, values: [] }) as Static<typeof File>;
      const sound = values.filter((value) => isRuntimeValue(value));
      const others = values.length - sound.length;
      if (others > 0) warn(`${this.path}: ${others} of its values cannot be understood and are ignored.`);
      return sound as RuntimeValue[];
    } catch (error) {
      warn(`${messageOf(error)} Values that were set while the server ran are ignored.`);
      return [];
    }
  }

  /** @throws {AltLasError} `bad_config`: it cannot be written */
  write(values: readonly RuntimeValue[]): void {
    writeJsonFile(this.path, { version: 1, values });
  }
}

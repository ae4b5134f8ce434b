/** A model's files before they are read, and models in several files. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { LLAMA, loaded, refused, watch } from "./helpers/engines.ts";
import { writeSplitModel } from "./helpers/tiny-models.ts";

const CUT_SHORT =
  /: model-00002-of-00002\.gguf is cut short: it has \d+ bytes, and its weights need at least 1183072\.$/;

it("a model that is cut short is refused with the bytes that it lacks", async () => {
  const folder = await mkdtemp(join(tmpdir(), "alt-las-short-"));
  const model = join(folder, "model.gguf");
  const whole = await readFile(LLAMA.model);
  await writeFile(model, whole.subarray(0, whole.length - 1));
  const { message } = await refused(loaded({ ...LLAMA, model, context: 256, slots: 1 }));
  assert.match(
    message,
    new RegExp(
      `: model\\.gguf is cut short: it has ${whole.length - 1} bytes, and its weights need at least ${whole.length}\\.$`,
    ),
  );
  await rm(folder, { recursive: true });
});

/** Opens a model that is not to be opened. */
async function refusal(model: string, sentence: RegExp): Promise<void> {
  const { code, message } = await refused(loaded({ ...LLAMA, model, context: 256, slots: 1 }));
  assert.equal(code, "model_error");
  assert.match(message, sentence);
  assert(message.includes(model), message);
}

describe("a model is refused, and its file named, that", () => {
  let folder = "";
  let whole = Buffer.alloc(0);
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "alt-las-damaged-"));
    whole = await readFile(LLAMA.model);
  });
  after(() => rm(folder, { recursive: true }));

  const damaged = async (name: string, content: Uint8Array | string): Promise<string> => {
    const path = join(folder, `${name}.gguf`);
    await writeFile(path, content);
    return path;
  };

  it("does not exist", () => refusal(join(folder, "none.gguf"), /does not exist\.$/));
  it("is a folder", () => refusal(folder, /cannot be read: .*directory/));
  it("is empty", async () => refusal(await damaged("empty", ""), /is empty\.$/));
  it("is a text", async () => refusal(await damaged("text", "hello"), /is not a GGUF file: it starts with "hell"\.$/));
  it("ends in the middle of the weights", async () =>
    refusal(
      await damaged("weights", whole.subarray(0, whole.length / 2)),
      /weights\.gguf is cut short: it has \d+ bytes/,
    ));
  it("ends in the middle of the header", async () =>
    refusal(await damaged("header", whole.subarray(0, 30)), /header\.gguf is cut short: it has \d+ bytes/));
});

describe("a model in two parts", () => {
  let folder = "";
  let first = "";
  let second = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "alt-las-parts-"));
    [first, second] = writeSplitModel(join(folder, "model"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const reason = async (model: string): Promise<string> => {
    const { code, message } = await refused(loaded({ ...LLAMA, model, context: 256, slots: 1 }));
    assert.equal(code, "model_error");
    return message.replaceAll(`${folder}/`, "");
  };

  it("is loaded from both", async () => {
    await loaded({ ...LLAMA, model: first, context: 256, slots: 1 }, async (engine) => {
      assert.equal((await watch(engine, "Once", 3).outcome).completionTokens, 3);
    });
  });

  it("is refused without the second, which is named", async () => {
    await rm(second);
    assert.equal(
      await reason(first),
      "Part 2 of 2 of the model is missing: there is no model-00002-of-00002.gguf beside model-00001-of-00002.gguf.",
    );
  });

  it("is refused by the name of its second, with that of the first", async () => {
    assert.equal(
      await reason(second),
      "The model file model-00002-of-00002.gguf is not the first of 2 parts; that one has to be named: model-00001-of-00002.gguf.",
    );
  });

  it("is refused when the second is empty, something else, or cut short, which is named", async () => {
    const part = await readFile(second);
    for (const [bytes, expected] of [
      ["", /^The model file model-00002-of-00002\.gguf is empty\.$/],
      ["<html>", /^The model file model-00002-of-00002\.gguf is not a GGUF file: it starts with "<htm"\.$/],
      [part.subarray(0, 1000), /could not be loaded: model-00002-of-00002\.gguf is cut short: it has 1000 bytes, /],
      [part.subarray(0, part.length / 2), CUT_SHORT],
      [part.subarray(0, part.length - 1), CUT_SHORT],
    ] as const) {
      await writeFile(second, bytes);
      assert.match(await reason(first), expected);
    }
  });

  it("is refused when the second is another model's", async () => {
    await writeFile(second, await readFile(LLAMA.model));
    assert.match(
      await reason(first),
      /: model-00002-of-00002\.gguf is not part 2 of 2 of this model, but a model of its own\.$/,
    );
  });

  it("is refused when the second is the first once more", async () => {
    await writeFile(second, await readFile(first));
    assert.match(
      await reason(first),
      /: model-00002-of-00002\.gguf is not part 2 of 2 .* but part 1 of 2 of one with 34 tensors\.$/,
    );
  });

  it("is refused when the second is a part of another model", async () => {
    const part = await readFile(second);
    const key = "split.tensors.count";
    part.writeInt32LE(33, part.indexOf(key) + key.length + 4);
    await writeFile(second, part);
    assert.match(
      await reason(first),
      /: model-00002-of-00002\.gguf is not part 2 of 2 .* but part 2 of 2 of one with 33 tensors\.$/,
    );
  });

  it("is refused by a name that does not say so", async () => {
    const renamed = join(folder, "model.gguf");
    await rename(first, renamed);
    assert.equal(
      await reason(renamed),
      "The model file model.gguf is one of 2 parts, but not named like one of several: its name should be as it was made.",
    );
  });
});

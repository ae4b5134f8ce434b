/** The engines that compute in their worker keep the promises of src/engine/engine.ts; test/wide/llama-promises.test.ts has more of llama. */
import { createEngine } from "../src/engine/open.ts";
import { makesVectors } from "./helpers/embedding-promises.ts";
import { EMBEDDED, keepsThePromises } from "./helpers/engine-promises.ts";
import { LLAMA, SIMULATED } from "./helpers/engines.ts";
import { takesRequests } from "./helpers/request-promises.ts";
import { SAMPLING_NAMES } from "../src/request.ts";

keepsThePromises({
  name: "llama",
  traits: EMBEDDED,
  info: { context: 4096, backend: "cpu", honours: Object.values(SAMPLING_NAMES), hasChatTemplate: true },
  create: (changes) => createEngine({ ...LLAMA, ...changes }, 0),
});

keepsThePromises({
  name: "simulated",
  traits: EMBEDDED,
  info: { context: 4096, backend: "simulated" },
  create: (changes) => createEngine({ ...SIMULATED, ...changes }, 0),
});

makesVectors({ name: "simulated", generates: true, create: () => createEngine(SIMULATED, 0) });

takesRequests({
  name: "simulated",
  can: ["chat", "completion", ...Object.values(SAMPLING_NAMES)],
  special: null,
  countsEachToken: true,
  repeats: true,
  draws: false,
  create: (changes) => createEngine({ ...SIMULATED, ...changes }, 0),
});

/** The engines that compute in their worker keep the promises of src/engine/engine.ts. */
import { createEngine } from "../src/engine/open.ts";
import { makesVectors } from "./helpers/embedding-promises.ts";
import { EMBEDDED, keepsThePromises } from "./helpers/engine-promises.ts";
import { LLAMA, SIMULATED } from "./helpers/engines.ts";

keepsThePromises({
  name: "llama",
  traits: EMBEDDED,
  info: { context: 4096, backend: "cpu" },
  create: (changes) => createEngine({ ...LLAMA, ...changes }, 0),
});

keepsThePromises({
  name: "simulated",
  traits: EMBEDDED,
  info: { context: 4096, backend: "simulated" },
  create: (changes) => createEngine({ ...SIMULATED, ...changes }, 0),
});

makesVectors({ name: "llama", generates: true, create: () => createEngine(LLAMA, 0) });
makesVectors({ name: "simulated", generates: true, create: () => createEngine(SIMULATED, 0) });

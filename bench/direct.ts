/** The other side of engine.ts's comparison: an engine alone in a process, as a program without a server would use it. */
import { type Engine, type EngineOptions } from "../src/engine/engine.ts";
import { createEngine } from "../src/engine/open.ts";
import { firstTokens, type Generate, throughput } from "./generation.ts";

/** What `bench/generation.ts` measures; one figure comes back, or all samples. */
export type DirectOrder =
  | { readonly what: "throughput"; readonly tasks: number; readonly concurrent: number; readonly maxLength: number }
  | { readonly what: "first tokens"; readonly neighbours: number; readonly samples: number };

/** The first message names the engine, each later one is an order. */
if (process.send) {
  process.once("message", (options: EngineOptions) => void serve(options));
}

async function serve(options: EngineOptions): Promise<void> {
  const engine = await createEngine(options, 0);
  await engine.load();
  const generate = generateWith(engine);
  process.on("message", (order: DirectOrder) => {
    void follow(order, generate).then((figures) => process.send?.(figures));
  });
  process.once("disconnect", () => void engine.stop().then(() => process.exit(0)));
  process.send?.([]);
}

async function follow(order: DirectOrder, generate: Generate): Promise<number[]> {
  if (order.what === "throughput") return [await throughput(generate, order)];
  return firstTokens(generate, order.neighbours, order.samples);
}

function generateWith(engine: Engine): Generate {
  return async (request) => {
    let text = "";
    const emit = (piece: string): void => {
      text += piece;
    };
    const outcome = await engine.generate({ ...request, signal: new AbortController().signal, emit });
    return outcome.completionTokens;
  };
}

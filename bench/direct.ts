/** The other side of engine.ts's comparison: an engine alone in a process, as a program without a server would use it. */
import { textOf, type Delta } from "../src/output.ts";
import { completionOf, type TextRequest } from "../src/request.ts";
import { type Engine, type EngineOptions } from "../src/engine/engine.ts";
import { createEngine } from "../src/engine/open.ts";
import {
  type DirectOrder,
  type Done,
  type FirstsTogether,
  type FirstTexts,
  firstTexts,
  type Generate,
  throughput,
  together,
} from "./generation.ts";

/** The first message names the engine, each later one is an order. */
if (process.send) {
  process.once("message", (options: EngineOptions) => void serve(options));
}

async function serve(options: EngineOptions): Promise<void> {
  const engine = await createEngine(options, 0);
  await engine.load();
  process.on("message", (order: DirectOrder) => {
    const generate = generateWith(engine, order.isChat);
    void measured(generate, order).then((found) => process.send?.(found));
  });
  process.once("disconnect", () => void engine.stop().then(() => process.exit(0)));
  process.send?.(null);
}

function measured(generate: Generate, order: DirectOrder): Promise<Done | FirstTexts | FirstsTogether> {
  switch (order.what) {
    case "throughput":
      return throughput(generate, order);
    case "first texts":
      return firstTexts(generate, order);
    case "together":
      return together(generate, order, cpuMilliseconds);
  }
}

function cpuMilliseconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function generateWith(engine: Engine, isChat: boolean): Generate {
  return async ({ text: prompt, maxLength, temperature }, onText) => {
    const sampling = { maxTokens: maxLength, temperature };
    const request: TextRequest = isChat
      ? { kind: "chat", messages: [{ role: "user", content: prompt }], sampling }
      : completionOf(prompt, sampling);
    let text = "";
    const emit = (delta: Delta): void => {
      text += textOf(delta);
      if (textOf(delta) !== "") onText?.();
    };
    const outcome = await engine.generate({ request, signal: new AbortController().signal, emit });
    return outcome.completionTokens;
  };
}

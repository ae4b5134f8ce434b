/** Servers that answer as they like, over a real connection: what the engine makes of it. What is read of the bytes: upstream-lies.test.ts. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { OpenAiEngine } from "../src/engine/openai/openai.ts";
import { EngineFailure } from "../src/engine/failures.ts";
import { OPENAI, refused, watch } from "./helpers/engines.ts";

const GOOD = 'data: {"choices":[{"index":0,"text":" good","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';

/** How the completions of a server begin and go on, but for those of prompts that say "Hello", which are good. */
type Answering = (response: ServerResponse) => void;

async function withServer(answering: Answering, use: (engine: OpenAiEngine) => Promise<void>): Promise<void> {
  const listener: RequestListener = (request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      if (request.url === "/v1/models") return response.end('{"data":[{"id":"m","owned_by":"somebody"}]}');
      if (request.url !== "/v1/completions") return response.writeHead(404).end();
      if (!body.includes("Hello")) return answering(response);
      return response.writeHead(200, { "content-type": "text/event-stream" }).end(GOOD);
    });
  };
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const engine = new OpenAiEngine({ ...OPENAI, upstream: { url, apiKey: null } });
  try {
    await engine.load();
    await use(engine);
  } finally {
    await engine.stop();
    server.closeAllConnections();
    server.close();
  }
}

function endlessly(response: ServerResponse, text: string): void {
  if (!response.destroyed) response.write(text, () => setImmediate(() => endlessly(response, text)));
}

describe("a complete answer is taken", () => {
  const object = JSON.stringify({ choices: [{ index: 0, text: " good", finish_reason: "stop" }] });
  const answers: Readonly<Record<string, Answering>> = {
    "as one object, though a stream was asked for": (response) =>
      void response.writeHead(200, { "content-type": "application/json" }).end(object),
    "as one object that says that it is a stream": (response) =>
      void response.writeHead(200, { "content-type": "text/event-stream" }).end(object),
    "as events that say that they are text": (response) =>
      void response.writeHead(200, { "content-type": "text/plain" }).end(GOOD),
    "as events that do not say what they are": (response) => void response.writeHead(200).end(GOOD),
    "when the connection breaks behind it": (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(GOOD.slice(0, GOOD.indexOf("data: [DONE]")), () => response.destroy());
    },
  };
  for (const [name, answering] of Object.entries(answers)) {
    it(name, async () => {
      await withServer(answering, async (engine) => {
        const task = watch(engine, "a task", 5);
        assert.equal((await task.outcome).finishReason, "stop");
        assert.equal(task.text, " good");
      });
    });
  }
});

describe("the operator is told", () => {
  const failures: readonly [name: string, answering: Answering, said: RegExp][] = [
    [
      "of an answer that was compressed",
      (response) => void response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(GOOD)),
      /it compressed its answer \(gzip\), for which it was not asked\.$/,
    ],
    [
      "of an error in one object",
      (response) => void response.writeHead(200).end('{"object":"error","message":"no adapter\\n here"}'),
      /HTTP 200: no adapter here\.$/,
    ],
    [
      "of an error that is no event",
      (response) =>
        void response.writeHead(200, { "content-type": "text/event-stream" }).end("error: out of pages\n\n"),
      /HTTP 500: out of pages\.$/,
    ],
    [
      "no more than a sentence has room for",
      (response) => void response.writeHead(200).end(`data: {"error":${JSON.stringify("long ".repeat(5000))}}\n\n`),
      /^.{100,450}….?$/,
    ],
  ];
  for (const [name, answering, said] of failures) {
    it(name, async () => {
      await withServer(answering, async (engine) => {
        const { code, message } = await refused(watch(engine, "a task", 5).outcome);
        assert.equal(code, "gpu_lost");
        assert.match(message, said);
      });
    });
  }
});

describe("a complete answer is waited for no longer than 2 s, when its server", () => {
  const piece = 'data: {"choices":[{"index":0,"text":" more"}]}\n\n';
  const behind: Readonly<Record<string, (response: ServerResponse) => void>> = {
    "sends nothing more": () => {},
    "sends heartbeats for ever": (response) => endlessly(response, ": ping\n\n"),
    "begins anew for ever": (response) => endlessly(response, piece),
    "breaks off within an event": (response) => void response.write("data: {"),
  };
  for (const [name, goOn] of Object.entries(behind)) {
    it(name, async (t) => {
      const closed = Promise.withResolvers<void>();
      const answering: Answering = (response) => {
        response.on("close", () => closed.resolve());
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write(GOOD.slice(0, GOOD.indexOf("data: [DONE]")), () => goOn(response));
      };
      await withServer(answering, async (engine) => {
        t.mock.timers.enable({ apis: ["setTimeout"] });
        const { promise: told, resolve } = Promise.withResolvers<void>();
        const task = watch(engine, "a task", 5, () => resolve());
        await told;
        // The reason is read behind the text that it came with.
        await turn();
        t.mock.timers.tick(1999);
        await turn();
        assert.equal(task.ended, false);
        t.mock.timers.tick(1);
        const { finishReason, completionTokens } = await task.outcome;
        assert.deepEqual([task.text, finishReason, completionTokens], [" good", "stop", 1]);
        await closed.promise;
      });
    });
  }
});

it("a server that goes on beyond max_length is left, with what was asked for", async () => {
  const closed = Promise.withResolvers<void>();
  const endless: Answering = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.on("close", () => closed.resolve());
    const usage = '"usage":{"prompt_tokens":1,"completion_tokens":1}';
    endlessly(response, `data: {"choices":[{"index":0,"text":" more"}],${usage}}\n\n`);
  };
  await withServer(endless, async (engine) => {
    const task = watch(engine, "a task", 5);
    const { finishReason, completionTokens } = await task.outcome;
    assert.deepEqual([task.text, finishReason, completionTokens], [" more".repeat(5), "length", 5]);
    await closed.promise;
  });
});

it("whatever bytes a server sends, and wherever it breaks off, a task has an outcome", async () => {
  const part = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.constantFrom(GOOD, "data: {", "\n\n", "event: error\n", '{"choices":', " ").map((text) => Buffer.from(text)),
  );
  const script = fc.record({
    status: fc.constantFrom(200, 200, 200, 204, 400, 429, 500),
    type: fc.constantFrom("text/event-stream", "application/json", "text/html"),
    parts: fc.array(part, { maxLength: 6 }),
    breaksOff: fc.boolean(),
  });
  const server: { answering: Answering } = { answering: (response) => void response.end() };
  await withServer(
    (response) => server.answering(response),
    async (engine) => {
      await fc.assert(
        fc.asyncProperty(script, async ({ status, type, parts, breaksOff }) => {
          server.answering = (response) => {
            response.writeHead(status, { "content-type": type });
            for (const bytes of parts) response.write(bytes);
            if (breaksOff) response.write(" ", () => response.destroy());
            else response.end();
          };
          const task = watch(engine, "a task", 5);
          const outcome = await task.outcome.catch((error: unknown) => error);
          if (outcome instanceof Error) return void assert(outcome instanceof EngineFailure, String(outcome));
          const isThere = parts.some(
            (bytes) => Buffer.from(bytes).includes(GOOD.trimEnd()) || Buffer.from(bytes).includes("choices"),
          );
          assert(status === 200 && isThere && task.text.startsWith(" good"));
        }),
        { numRuns: 60 },
      );
    },
  );
});

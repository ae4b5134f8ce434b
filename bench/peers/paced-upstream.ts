/**
 * A server with slots and a speed, for routers that share requests among unequal ones, in a process of its own. What comes while all
 * slots are taken waits in it, as in vLLM. The first message says how fast it is, and is answered with its port.
 */
import { createServer, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { TOKEN, UPSTREAM_MODEL } from "../upstream-words.ts";

export interface Pace {
  readonly slots: number;
  /** Tokens a second of each slot. */
  readonly speed: number;
}

/** Milliseconds between two pieces of a stream. A piece for each token would measure the machine, which has other work. */
const BEAT = 10;

interface Answer {
  readonly response: ServerResponse;
  readonly tokens: number;
  startedAt: number;
  written: number;
}

if (process.send) {
  process.once("message", (pace: Pace) => {
    const server = createServer({ noDelay: true }, paced(pace));
    server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
  });
  process.once("disconnect", () => process.exit(0));
}

function paced({ slots, speed }: Pace): Parameters<typeof createServer>[1] {
  const running = new Set<Answer>();
  const waiting: Answer[] = [];
  const fill = (): void => {
    while (running.size < slots && waiting.length > 0) {
      const next = waiting.shift()!;
      next.startedAt = performance.now();
      next.response.writeHead(200, { "content-type": "text/event-stream" });
      running.add(next);
    }
  };
  setInterval(() => {
    for (const answer of running) {
      const due = Math.min(answer.tokens, Math.floor(((performance.now() - answer.startedAt) * speed) / 1000));
      if (due > answer.written) answer.response.write(eventOf(due - answer.written, due === answer.tokens));
      answer.written = due;
      if (due < answer.tokens) continue;
      running.delete(answer);
      answer.response.end(
        `data: ${JSON.stringify({ choices: [], usage: usageOf(answer.tokens) })}\n\ndata: [DONE]\n\n`,
      );
    }
    fill();
  }, BEAT);
  return (request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (piece: string) => (body += piece));
    request.once("end", () => {
      const known = request.method === "POST" ? request.url === CHAT : ASKED.has(request.url!);
      // Engines ask this to find out which server it is.
      if (!known) return void response.writeHead(404, JSON_TYPE).end(ABSENT);
      if (request.method !== "POST") return void response.writeHead(200, JSON_TYPE).end(MODELS);
      // One router passes the first on as the second.
      const asked = JSON.parse(body) as { max_tokens?: number; max_completion_tokens?: number };
      const tokens = asked.max_tokens ?? asked.max_completion_tokens ?? 1;
      waiting.push({ response, tokens, startedAt: 0, written: 0 });
      fill();
    });
  };
}

const CHAT = "/v1/chat/completions";
const ASKED = new Set(["/health", "/v1/models"]);
const JSON_TYPE = { "content-type": "application/json" };
const ABSENT = JSON.stringify({ error: { message: "There is no such route." } });
const MODELS = JSON.stringify({
  object: "list",
  data: [{ id: UPSTREAM_MODEL, object: "model", owned_by: "nobody" }],
});

function eventOf(tokens: number, isLast: boolean): string {
  const delta = { content: `${TOKEN} `.repeat(tokens) };
  const choice = { index: 0, delta, logprobs: null, finish_reason: isLast ? "length" : null };
  const chunk = { id: "one", object: "chat.completion.chunk", created: 1_700_000_000, model: UPSTREAM_MODEL };
  return `data: ${JSON.stringify({ ...chunk, choices: [choice] })}\n\n`;
}

function usageOf(tokens: number): object {
  return { prompt_tokens: 8, completion_tokens: tokens, total_tokens: 8 + tokens };
}

/**
 * A server for an `openai` engine that generates at no cost, in a process of its own: each answer is one token, as servers send it that
 * compute (the token in one write with the head, the end in the next turn). It reads no more of a request than where it ends.
 */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { TOKEN, UPSTREAM_MODEL } from "./upstream-words.ts";

const CREATED = 1_700_000_000;
const USAGE = { prompt_tokens: 8, completion_tokens: 1, total_tokens: 9 };
const END_OF_HEAD = Buffer.from("\r\n\r\n");
const LENGTH = /^content-length: *(\d+)/im;
/** As some routers send a body on; its end is a chunk of no bytes. */
const CHUNKED = /^transfer-encoding: *chunked/im;
const LAST_CHUNK = Buffer.from("\r\n0\r\n\r\n");

/** Messages of the parent: any is answered with the port. */
if (process.send) {
  const server = createServer({ noDelay: true }, serve);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  process.on("message", () => process.send!((server.address() as AddressInfo).port));
  process.once("disconnect", () => process.exit(0));
}

/** What is written for one request, one turn of the event loop after the other. */
type Writes = readonly Buffer[];

function chunksOf(object: string, piece: object): Writes {
  const event = (fields: object): string =>
    `data: ${JSON.stringify({ id: "one", object, created: CREATED, model: UPSTREAM_MODEL, ...fields })}\n\n`;
  const head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
  const end = `${event({ choices: [], usage: USAGE })}data: [DONE]\n\n`;
  return [
    Buffer.from(head + chunk(event({ choices: [{ index: 0, ...piece, logprobs: null, finish_reason: "length" }] }))),
    Buffer.from(`${chunk(end)}0\r\n\r\n`),
  ];
}

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

function whole(status: string, value: object): Writes {
  const body = JSON.stringify(value);
  return [
    Buffer.from(
      `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    ),
  ];
}

const ANSWERS: Readonly<Record<string, Writes>> = {
  // Routers ask whether it is well.
  "/health": whole("200 OK", {}),
  "/v1/models": whole("200 OK", {
    object: "list",
    data: [{ id: UPSTREAM_MODEL, object: "model", owned_by: "nobody" }],
  }),
  "/v1/completions": chunksOf("text_completion", { text: TOKEN }),
  "/v1/chat/completions": chunksOf("chat.completion.chunk", { delta: { role: "assistant", content: TOKEN } }),
};
const ABSENT = whole("404 Not Found", { error: { message: "There is no such route." } });

function serve(socket: Socket): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  socket.on("data", (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    for (;;) {
      const request = firstIn(rest);
      if (request === null) return;
      rest = rest.subarray(request.length);
      const [first, ...later] = ANSWERS[request.path] ?? ABSENT;
      socket.write(first!);
      if (later.length > 0) setImmediate(() => later.forEach((write) => socket.write(write)));
    }
  });
}

/** The first request of some bytes; null: it is not there as a whole. */
function firstIn(bytes: Buffer): { readonly path: string; readonly length: number } | null {
  const headEnd = bytes.indexOf(END_OF_HEAD);
  if (headEnd === -1) return null;
  const head = bytes.toString("latin1", 0, headEnd);
  const length = CHUNKED.test(head) ? chunkedEnd(bytes, headEnd) : headEnd + END_OF_HEAD.length + lengthOf(head);
  return bytes.length < length ? null : { path: head.split(" ", 2)[1]!, length };
}

function lengthOf(head: string): number {
  return Number(LENGTH.exec(head)?.[1] ?? 0);
}

/** Where the last chunk of a body ends; Infinity: it has not come. */
function chunkedEnd(bytes: Buffer, headEnd: number): number {
  const last = bytes.indexOf(LAST_CHUNK, headEnd + 2);
  return last === -1 ? Infinity : last + LAST_CHUNK.length;
}

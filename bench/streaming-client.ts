/**
 * Texts that servers generate, read as they come, with as little work as possible for each token: the client shares the machine's cores
 * with the server.
 */
import { connect, type NetConnectOpts, type Socket } from "node:net";
import { completionOf, SAMPLING_DEFAULTS } from "../src/request.ts";
import { bodyFor } from "../src/engine/llama-server/completion.ts";
import { type Generate, type Request } from "./generation.ts";
import { type LlamaServer } from "./llama-server.ts";
import { type BenchServer } from "./server.ts";

/** How a server is asked, and how its answer is to be read. */
interface Dialect {
  readonly address: NetConnectOpts;
  readonly path: string;
  readonly headers: readonly string[];
  readonly keepsConnections: boolean;
  readonly bodyOf: (request: Request, isRead: boolean) => object;
  /** In what brings text. */
  readonly text: RegExp;
  /** At the end: how many tokens there were. */
  readonly tokens: RegExp;
}

const OK = "HTTP/1.1 200 ";
/** The end of a chunked answer. */
const END = "\r\n0\r\n\r\n";
/** Characters of a stream that are kept: more than the last event has. */
const KEPT = 16_384;

/** This project's server. A text is streamed when somebody reads along, or always; else its end is waited for. */
export function through(
  { host, port, authorization }: Pick<BenchServer, "host" | "port" | "authorization">,
  always = false,
): Generate {
  return asked({
    address: { host, port, noDelay: true },
    path: "/api/v1/predict",
    headers: [`Authorization: ${authorization}`, "Prefer: wait=300"],
    keepsConnections: true,
    bodyOf: ({ text, maxLength, temperature }, isRead) => ({
      text,
      max_length: maxLength,
      temperature,
      stream: isRead || always,
    }),
    text: /event: token\n/,
    tokens: /"status":"completed".*"completion_tokens":(\d+)/s,
  });
}

/** This project's server, asked by OpenAI's API as its clients ask: always streamed. */
export function throughChat(
  { host, port, authorization }: Pick<BenchServer, "host" | "port" | "authorization">,
  model: string,
): Generate {
  const { topK, topP, minP } = SAMPLING_DEFAULTS;
  return asked({
    address: { host, port, noDelay: true },
    path: "/v1/chat/completions",
    headers: [`Authorization: ${authorization}`],
    keepsConnections: true,
    bodyOf: ({ text, maxLength, temperature }) => ({
      model,
      messages: [{ role: "user", content: text }],
      max_tokens: maxLength,
      temperature,
      // The defaults there are others, and choosing among all tokens takes longer.
      top_k: topK,
      top_p: topP,
      min_p: minP,
      stream: true,
      stream_options: { include_usage: true },
    }),
    text: /"content":"[^"]/,
    tokens: /"completion_tokens":(\d+).*\[DONE\]/s,
  });
}

/** A llama-server, asked for the same as our engine asks it for: always streamed. */
export function throughLlamaServer({
  address,
  authorization,
}: Pick<LlamaServer, "address" | "authorization">): Generate {
  return asked({
    address,
    path: "/completion",
    headers: [`Authorization: ${authorization}`],
    // It closes each behind a stream, without having said so.
    keepsConnections: false,
    bodyOf: ({ text, maxLength: maxTokens, temperature }) =>
      bodyFor({
        prompt: text,
        tokens: null,
        shape: { stop: [], marks: null },
        request: completionOf(text, { maxTokens, temperature }),
        maxTokens,
        grammar: null,
      }),
    text: /"content":"[^"]/,
    tokens: /"stop":true.*"tokens_predicted":(\d+)/s,
  });
}

function asked(dialect: Dialect): Generate {
  const idle = new Set<Socket>();
  const open = (): Socket => {
    const socket = connect(dialect.address);
    // "close" follows, and whoever waits for an answer hears of that.
    socket.on("error", () => {});
    socket.once("close", () => idle.delete(socket));
    return socket;
  };
  return async (request, onText) => {
    const [socket = open()] = idle;
    idle.delete(socket);
    const answer = await exchange(socket, requestTo(dialect, request, onText !== undefined), dialect.text, onText);
    if (dialect.keepsConnections) idle.add(socket);
    else socket.destroy();
    const [, tokens] = dialect.tokens.exec(answer) ?? [];
    if (tokens === undefined) throw new Error(`a text did not come whole: ${answer}`);
    return Number(tokens);
  };
}

function requestTo({ path, headers, bodyOf }: Dialect, request: Request, isRead: boolean): string {
  const body = JSON.stringify(bodyOf(request, isRead));
  const own = ["Host: localhost", "Content-Type: application/json", `Content-Length: ${Buffer.byteLength(body)}`];
  return [`POST ${path} HTTP/1.1`, ...headers, ...own, "", body].join("\r\n");
}

/** Resolves with the end of the answer, when all of it has come. */
function exchange(socket: Socket, request: string, text: RegExp, onText?: () => void): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = "";
    let missing: number | null = null;
    const onData = (bytes: Buffer): void => {
      const piece = bytes.toString("latin1");
      if (missing === null && !piece.startsWith(OK)) done(() => reject(new Error(piece)));
      missing = (missing ?? lengthOf(piece)) - piece.length;
      received = (received + piece).slice(-KEPT);
      if (onText !== undefined && text.test(piece)) onText();
      if (missing === 0 || received.endsWith(END)) done(() => resolve(received));
    };
    const onClose = (): void => done(() => reject(new Error("the connection was closed")));
    const done = (settle: () => void): void => {
      socket.off("data", onData);
      socket.off("close", onClose);
      settle();
    };
    socket.on("data", onData);
    socket.once("close", onClose);
    socket.write(request);
  });
}

/** Bytes of an answer, of which this is the beginning with its whole head; Infinity: one in chunks, whose end shows. */
function lengthOf(beginning: string): number {
  const [head, length] = /^.*?\r\ncontent-length: (\d+)\r\n.*?\r\n\r\n/is.exec(beginning) ?? [];
  return head === undefined ? Infinity : head.length + Number(length);
}

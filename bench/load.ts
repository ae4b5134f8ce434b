/**
 * The load generator of submit.ts, a process of its own: keep-alive connections, one request at a time on each, and as little work
 * as possible for each answer, because it shares the machine's cores with the server.
 */
import { connect, type Socket } from "node:net";

export interface LoadRequest {
  readonly host: string;
  readonly port: number;
  readonly connections: number;
  readonly seconds: number;
  /** A whole HTTP request, sent again and again. */
  readonly request: string;
  /** By which an answer that streams shows that its first token has come; absent: that is not timed. */
  readonly token?: string;
}

export interface LoadResult {
  /** Requests answered with 2xx. */
  readonly accepted: number;
  /** Other answers, and connections that broke. */
  readonly errors: number;
  /** Of the first unexpected answer; "": there was none. */
  readonly firstError: string;
  /** Seconds from the first request to the last answer. */
  readonly seconds: number;
  /** Milliseconds of each accepted request, in ascending order: the shares 0.5, 0.99 and 1 of them. */
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
  /** Milliseconds until half of them had their first token; NaN: that was not timed. */
  readonly first: number;
  /** CPU seconds this process used. */
  readonly cpuSeconds: number;
}

const END_OF_HEAD = Buffer.from("\r\n\r\n");
const CONTENT_LENGTH = Buffer.from("content-length: ");
/** As servers in Go write it. */
const CAPITAL_LENGTH = Buffer.from("Content-Length: ");
/** The end of an answer in chunks. */
const LAST_CHUNK = Buffer.from("\r\n0\r\n\r\n");
const DIGIT_TWO = 0x32;
const DIGIT_ZERO = 0x30;
/** Milliseconds that an answer may take beyond the end; then its connection is closed, which counts as an error. */
const PATIENCE = 30_000;
/** Where in "HTTP/1.1 200 OK" the status begins. */
const STATUS_AT = 9;

if (process.send) {
  process.once("message", (request: LoadRequest) => {
    void run(request).then((result) => process.send?.(result, () => process.disconnect()));
  });
}

async function run({ host, port, connections, seconds, request, token }: LoadRequest): Promise<LoadResult> {
  const bytes = Buffer.from(request);
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(host, port, token)));
  const latencies: number[] = [];
  const firsts: number[] = [];
  let errors = 0;
  let firstError = "";
  const cpu = process.cpuUsage();
  const started = performance.now();
  const end = started + seconds * 1000;
  const giveUp = setTimeout(() => sockets.forEach(({ socket }) => socket.destroy()), seconds * 1000 + PATIENCE);
  const fail = (what: string): void => {
    errors++;
    firstError ||= what;
  };
  await Promise.all(
    sockets.map(
      ({ socket, onAnswer, onToken }) =>
        new Promise<void>((resolve) => {
          let sentAt = performance.now();
          onToken(() => firsts.push(performance.now() - sentAt));
          onAnswer((answer) => {
            const now = performance.now();
            if (answer === null) {
              fail("the connection broke");
              return resolve();
            }
            if (answer[STATUS_AT] === DIGIT_TWO) latencies.push(now - sentAt);
            else fail(answer.toString("latin1"));
            if (now >= end) return resolve();
            sentAt = now;
            socket.write(bytes);
          });
          socket.write(bytes);
        }),
    ),
  );
  clearTimeout(giveUp);
  const took = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  for (const { socket } of sockets) socket.destroy();
  latencies.sort((a, b) => a - b);
  firsts.sort((a, b) => a - b);
  return {
    accepted: latencies.length,
    errors,
    firstError,
    seconds: took,
    p50: shareOf(latencies, 0.5),
    p99: shareOf(latencies, 0.99),
    longest: shareOf(latencies, 1),
    first: shareOf(firsts, 0.5),
    cpuSeconds: (user + system) / 1e6,
  };
}

function shareOf(sorted: readonly number[], share: number): number {
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
}

interface Connection {
  readonly socket: Socket;
  /** Sets who hears of each whole answer, or of null when the connection breaks. The bytes are only good during the call. */
  onAnswer(listener: (answer: Buffer | null) => void): void;
  /** Sets who hears of the first token of each. */
  onToken(listener: () => void): void;
}

function open(host: string, port: number, token: string | undefined): Promise<Connection> {
  let listener: ((answer: Buffer | null) => void) | undefined;
  let tokenListener: (() => void) | undefined;
  /** Of an answer that has not come whole. */
  let rest: Buffer | null = null;
  let hasToken = false;
  const read = (count: number, buffer: Uint8Array): boolean => {
    const bytes = Buffer.from(buffer.buffer, buffer.byteOffset, count);
    const answer: Buffer = rest === null ? bytes : Buffer.concat([rest, bytes]);
    if (token !== undefined && !hasToken && answer.includes(token)) {
      hasToken = true;
      tokenListener?.();
    }
    rest = isWhole(answer) ? null : Buffer.from(answer);
    if (rest !== null) return true;
    hasToken = false;
    listener?.(answer);
    return true;
  };
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true, onread: { buffer: Buffer.alloc(16_384), callback: read } });
    const listeners = {
      onAnswer: (next: typeof listener) => (listener = next),
      onToken: (next: typeof tokenListener) => (tokenListener = next),
    };
    socket.once("connect", () => resolve({ socket, ...listeners }));
    socket.once("error", reject);
    socket.once("close", () => listener?.(null));
  });
}

/** Whether the bytes are a whole answer: a head, and as many bytes of body as it says, or all chunks. */
function isWhole(bytes: Buffer): boolean {
  const headEnd = bytes.indexOf(END_OF_HEAD);
  if (headEnd === -1) return false;
  const small = bytes.indexOf(CONTENT_LENGTH);
  const at = small === -1 ? bytes.indexOf(CAPITAL_LENGTH) : small;
  if (at === -1 || at > headEnd) return bytes.subarray(-LAST_CHUNK.length).equals(LAST_CHUNK);
  let length = 0;
  for (let i = at + CONTENT_LENGTH.length; bytes[i]! >= DIGIT_ZERO; i++) length = length * 10 + bytes[i]! - DIGIT_ZERO;
  return bytes.length >= headEnd + END_OF_HEAD.length + length;
}

/** Answers that come bit by bit: lines, and server-sent events. */
import { AltLasError } from "./errors.ts";
import { LONGEST_TIMER } from "./patience.ts";

/** Nothing came for a while: the connection may be dead, or there is nothing to say. */
export class Quiet extends Error {}

export interface ServerSentEvent {
  readonly name: string;
  readonly id: string;
  readonly data: string;
}

/**
 * The whole lines of an answer, without their ends. A last line that was cut off is not told.
 * @param idle seconds without a byte after which it is quiet
 * @throws {AltLasError} `no_connection`: it is cut @throws {Quiet}
 */
export async function* linesOf(response: Response, idle: number): AsyncGenerator<string> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  // In parts: put together with each, a long line would be searched over and over.
  let rest: string[] = [];
  try {
    for (;;) {
      const { done, value } = await nextOf(reader, idle);
      if (done) return;
      const [first = "", ...others] = decoder.decode(value, { stream: true }).split("\n");
      rest.push(first);
      for (const part of others) {
        const line = rest.join("");
        rest = [part];
        yield line.endsWith("\r") ? line.slice(0, -1) : line;
      }
    }
  } finally {
    // A reader that stops leaves the connection.
    reader.cancel().catch(() => {});
  }
}

async function nextOf(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  idle: number,
): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Quiet()), Math.min(idle * 1000, LONGEST_TIMER));
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } catch (cause) {
    if (cause instanceof Quiet) throw cause;
    throw new AltLasError("no_connection", `The connection was cut: ${String(cause)}`, { isTemporary: true, cause });
  } finally {
    clearTimeout(timer);
  }
}

/** The events of an answer; comments are passed over. */
export async function* eventsOf(response: Response, idle: number): AsyncGenerator<ServerSentEvent> {
  let name = "message";
  let id = "";
  let data: string[] = [];
  for await (const line of linesOf(response, idle)) {
    if (line === "") {
      if (data.length > 0) yield { name, id, data: data.join("\n") };
      name = "message";
      data = [];
      continue;
    }
    const [, field, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!;
    if (field === "event") name = value;
    else if (field === "id") id = value;
    else if (field === "data") data.push(value);
  }
}

/** OTLP's protocol buffers, read: the parts of an `ExportTraceServiceRequest` that a test may ask for. */

/** A span as it was sent, with its attributes as an object. */
export interface KeptSpan {
  /** Hexadecimal digits. */
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly flags: number;
  readonly name: string;
  readonly kind: number;
  /** Unix nanoseconds. */
  readonly start: bigint;
  readonly end: bigint;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly { readonly name: string; readonly at: bigint }[];
  readonly status: { readonly code?: number };
}

export interface SentSpans {
  readonly resource: Readonly<Record<string, unknown>>;
  readonly scope: { readonly name: string; readonly version: string };
  readonly spans: readonly KeptSpan[];
}

/** What a message has in one field. */
type Content = number | bigint | Buffer;

/** @throws {Error} it is none */
export function spansIn(body: Buffer): SentSpans {
  const resourceSpans = only(fieldsOf(body), 1);
  const scopeSpans = only(fieldsOf(resourceSpans), 2);
  const fields = fieldsOf(scopeSpans);
  const scope = fieldsOf(only(fields, 1));
  return {
    resource: attributesIn(fieldsOf(only(fieldsOf(resourceSpans), 1)), 1),
    scope: { name: textIn(scope, 1), version: textIn(scope, 2) },
    spans: buffers(fields, 2).map(spanOf),
  };
}

function spanOf(bytes: Buffer): KeptSpan {
  const fields = fieldsOf(bytes);
  const [parent] = buffers(fields, 4);
  const [state] = buffers(fields, 3);
  const [status] = buffers(fields, 15);
  const code = status && fieldsOf(status).get(3)?.[0];
  return {
    traceId: only(fields, 1).toString("hex"),
    spanId: only(fields, 2).toString("hex"),
    ...(parent && { parentSpanId: parent.toString("hex") }),
    ...(state && { traceState: state.toString() }),
    flags: Number(fields.get(16)?.[0]),
    name: textIn(fields, 5),
    kind: Number(fields.get(6)?.[0]),
    start: fields.get(7)?.[0] as bigint,
    end: fields.get(8)?.[0] as bigint,
    attributes: attributesIn(fields, 9),
    events: buffers(fields, 11).map((event) => {
      const of = fieldsOf(event);
      return { name: textIn(of, 2), at: of.get(1)?.[0] as bigint };
    }),
    status: code === undefined ? {} : { code: Number(code) },
  };
}

function attributesIn(fields: ReadonlyMap<number, Content[]>, number: number): Record<string, unknown> {
  const pairs = buffers(fields, number).map((bytes) => {
    const pair = fieldsOf(bytes);
    return [textIn(pair, 1), valueOf(only(pair, 2))] as const;
  });
  return Object.fromEntries(pairs);
}

/** An `AnyValue`. */
function valueOf(bytes: Buffer): unknown {
  const [[number, [content]]] = [...fieldsOf(bytes)] as [[number, [Content]]];
  switch (number) {
    case 1:
      return String(content);
    case 3:
      return Number(content);
    case 4: {
      const bits = Buffer.alloc(8);
      bits.writeBigUInt64LE(content as bigint);
      return bits.readDoubleLE();
    }
    case 5:
      return buffers(fieldsOf(content as Buffer), 1).map(valueOf);
    default:
      throw new Error(`no such value: ${number}`);
  }
}

/** By their numbers. @throws {Error} the bytes are no message */
function fieldsOf(bytes: Buffer): Map<number, Content[]> {
  const fields = new Map<number, Content[]>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 0x80) {
      const byte = bytes.readUInt8(at++);
      value += (byte % 0x80) * factor;
      if (byte < 0x80) return value;
    }
  };
  const fixed = (size: number): Buffer => {
    if (at + size > bytes.length) throw new Error("the message ends too early");
    return bytes.subarray(at, (at += size));
  };
  const contentOf = (kind: number): Content => {
    switch (kind) {
      case 0:
        return varint();
      case 1:
        return fixed(8).readBigUInt64LE();
      case 2:
        return fixed(varint());
      case 5:
        return fixed(4).readUInt32LE();
      default:
        throw new Error(`no such kind: ${kind}`);
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const contents = fields.get(Math.floor(tag / 8)) ?? [];
    contents.push(contentOf(tag % 8));
    fields.set(Math.floor(tag / 8), contents);
  }
  return fields;
}

function buffers(fields: ReadonlyMap<number, Content[]>, number: number): Buffer[] {
  return (fields.get(number) ?? []).map((content) => {
    if (!Buffer.isBuffer(content)) throw new Error(`field ${number} has no bytes`);
    return content;
  });
}

function only(fields: ReadonlyMap<number, Content[]>, number: number): Buffer {
  const [content, ...others] = buffers(fields, number);
  if (content === undefined || others.length > 0) throw new Error(`not one field ${number}`);
  return content;
}

function textIn(fields: ReadonlyMap<number, Content[]>, number: number): string {
  return only(fields, number).toString();
}

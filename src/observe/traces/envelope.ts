/** The envelope of the spans in each message to a collector: `ExportTraceServiceRequest`, `ResourceSpans`, `ScopeSpans`. */

/** Fields 1 and 2 of a message, where they are texts or messages. */
const FIRST = 0x0a;
const SECOND = 0x12;
/** Bytes that a length may take. */
const LONGEST = 5;

export class Envelope {
  /** Bytes that it takes before the spans at most. */
  readonly size: number;
  readonly #resource: readonly number[];
  readonly #scope: readonly number[];

  /** @param resource who sends the spans @param version of the scope */
  constructor(
    resource: Readonly<Record<string, string>>,
    { name, version }: { readonly name: string; readonly version: string },
  ) {
    const attributes = Object.entries(resource).flatMap(([key, value]) =>
      field(FIRST, [...field(FIRST, textOf(key)), ...field(SECOND, field(FIRST, textOf(value)))]),
    );
    this.#resource = field(FIRST, attributes);
    this.#scope = field(FIRST, [...field(FIRST, textOf(name)), ...field(SECOND, textOf(version))]);
    this.size = this.#resource.length + this.#scope.length + 2 * (1 + LONGEST);
  }

  /** @param bytes spans, with `size` free bytes before them @returns the message, in the same memory */
  around(bytes: Uint8Array): Uint8Array {
    const spans = this.#scope.length + bytes.length - this.size;
    const scopeSpans = [SECOND, ...lengthOf(spans), ...this.#scope];
    const all = this.#resource.length + scopeSpans.length + bytes.length - this.size;
    const head = [FIRST, ...lengthOf(all), ...this.#resource, ...scopeSpans];
    const from = this.size - head.length;
    bytes.set(head, from);
    return bytes.subarray(from);
  }
}

function field(tag: number, content: readonly number[]): number[] {
  return [tag, ...lengthOf(content.length), ...content];
}

function textOf(text: string): number[] {
  return [...Buffer.from(text)];
}

/** A number in as many bytes as it takes, seven bits in each. */
function lengthOf(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return [...bytes, rest];
}

import assert from "node:assert/strict";
import { test } from "node:test";
import { Common } from "../src/observe/traces/common-attributes.ts";
import { Envelope } from "../src/observe/traces/envelope.ts";
import { type SpanId, traceIdOf, spanIdOf } from "../src/observe/traces/ids.ts";
import { INTERNAL, keyOf, SpanBatch, type SpanHead } from "../src/observe/traces/span-batch.ts";
import { type KeptSpan, type SentSpans, spansIn } from "./helpers/otlp.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const CONTEXT = { traceId: traceIdOf(TRACE), spanId: spanIdOf("b7ad6b7169203331"), isSampled: true, state: "a=1,b=2" };
const OWN: SpanId = spanIdOf("00f067aa0ba902b7");
const HEAD: SpanHead = {
  context: CONTEXT,
  spanId: OWN,
  parentId: CONTEXT.spanId,
  name: "a name",
  kind: INTERNAL,
  from: 1_795_936_394_001.25,
  to: 2_000_000_000_000,
};
const TEXT = keyOf("a.text");

/** A message with the spans that are written, read back. */
function sent(write: (batch: SpanBatch) => void): SentSpans {
  const envelope = new Envelope({ "service.name": "köln" }, { name: "alt-las", version: "1" });
  const batch = new SpanBatch(envelope.size);
  write(batch);
  return spansIn(Buffer.from(envelope.around(batch.all)));
}

function spanWith(write: (span: SpanBatch) => void, head: SpanHead = HEAD): KeptSpan {
  const { spans } = sent((batch) => {
    batch.begin(head);
    write(batch);
    batch.end(false);
  });
  assert.equal(spans.length, 1);
  return spans[0]!;
}

test("a span is read as it was written", () => {
  const span = spanWith((written) => {
    written.text(TEXT, "plain");
    written.text(keyOf("none"), null);
    written.whole(keyOf("whole"), 2 ** 32 - 1);
    written.number(keyOf("number"), 0.7);
    written.listed(keyOf("list"), "one");
    written.event("first", HEAD.from);
  });
  assert.deepEqual(span, {
    traceId: TRACE,
    spanId: "00f067aa0ba902b7",
    parentSpanId: "b7ad6b7169203331",
    traceState: "a=1,b=2",
    flags: 0x101,
    name: "a name",
    kind: INTERNAL,
    start: 1_795_936_394_001_250_000n,
    end: 2_000_000_000_000_000_000n,
    attributes: { "a.text": "plain", whole: 2 ** 32 - 1, number: 0.7, list: ["one"] },
    events: [{ name: "first", at: 1_795_936_394_001_250_000n }],
    status: {},
  });
});

test("texts of any characters and lengths arrive, up to the longest that is sent", () => {
  const texts = ["", "x".repeat(126), "x".repeat(127), "x".repeat(128), "Grüße", "日本語".repeat(60), "😀", "a\u0000b"];
  for (const value of texts) assert.equal(spanWith((span) => span.text(TEXT, value)).attributes["a.text"], value);
  for (const [value, arrives] of [
    ["x".repeat(5000), "x".repeat(4096)],
    ["ü".repeat(5000), "ü".repeat(4096)],
    ["half \ud83d", "half \ufffd"],
  ] as const)
    assert.equal(spanWith((span) => span.text(TEXT, value)).attributes["a.text"], arrives);
});

test("a span of more than 16 KiB is whole, and so are those around it", () => {
  const long = "日".repeat(4096);
  const { spans, resource } = sent((batch) => {
    for (const [index, name] of ["before", long, "after"].entries()) {
      batch.begin({ ...HEAD, name });
      for (let count = 0; count <= index; count++) batch.text(keyOf(`text.${count}`), long);
      batch.end(index === 1);
    }
  });
  assert.deepEqual(
    spans.map(({ name, attributes, status }) => [name, Object.keys(attributes).length, status.code]),
    [
      ["before", 1, undefined],
      [long, 2, 2],
      ["after", 3, undefined],
    ],
  );
  assert.deepEqual(resource, { "service.name": "köln" });
});

test("attributes that spans have in common are those of their own values", () => {
  let encoded = 0;
  const common = new Common((span, user: string, batch: string | null) => {
    encoded++;
    span.text(keyOf("user"), user);
    span.text(keyOf("batch"), batch);
  });
  const values = [
    ["a", null],
    ["a", null],
    ["b", null],
    ["b", "1"],
    ["a", null],
  ] as const;
  const { spans } = sent((batch) => {
    for (const [user, id] of values) {
      batch.begin(HEAD);
      common.write(batch, user, id);
      batch.end(false);
    }
  });
  assert.deepEqual(
    spans.map(({ attributes: { user, batch = null } }) => [user, batch]),
    values,
  );
  assert.equal(encoded, 4);
});

test("attributes are written again in the same batch and in another one, also when it has grown", () => {
  const { spans } = sent((batch) => {
    batch.begin(HEAD);
    const { mark } = batch;
    batch.text(TEXT, "x".repeat(4000));
    const written = batch.since(mark);
    batch.end(false);
    for (let count = 0; count < 40; count++) {
      batch.begin(HEAD);
      batch.again(written);
      batch.end(false);
    }
  });
  assert.equal(spans.length, 41);
  for (const { attributes } of spans) assert.equal(attributes["a.text"], "x".repeat(4000));
});

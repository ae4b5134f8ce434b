/** Whatever a hub does and whenever a fetch is given up on, a file under its final name is whole. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { AltLasError } from "../src/errors.ts";
import {
  cutAfter,
  type Fault,
  gguf,
  refuse,
  sendHead,
  sha256Of,
  startHub,
  type StandInHub,
} from "./helpers/stand-in-hub.ts";

const NAME = "model-Q4_K_M.gguf";
const BYTES = 20_000;
const FILE = gguf("a model", BYTES);
const SHA = sha256Of(FILE);

const place = fc.integer({ min: 0, max: BYTES });

/** What the storage does in the place of a true answer. */
const fault: fc.Arbitrary<Fault> = fc.oneof(
  place.map(cutAfter),
  fc.constantFrom(500, 429, 404, 416).map((status) => refuse(status)),
  // The whole file, whatever range was asked for.
  fc.constant<Fault>((response, file) => {
    sendHead(response, file, 0);
    response.end(file);
  }),
  // One wrong byte.
  place.map((at): Fault => (response, file, from) => {
    const wrong = Buffer.from(file);
    wrong[Math.max(4, at % BYTES)]! ^= 1;
    sendHead(response, file, from);
    response.end(wrong.subarray(from));
  }),
  // Another range than was asked for.
  place.map((at): Fault => (response, file, from) => {
    sendHead(response, file, Math.min(at, BYTES - 1));
    response.end(file.subarray(Math.min(from, at, BYTES - 1)));
  }),
);

/** What an earlier run, or another program, may have left. */
const left = fc.oneof(
  fc.constant(null),
  place.map((at) => FILE.subarray(0, at)),
  fc.tuple(place, fc.uint8Array({ maxLength: 100 })).map(([at, junk]) => Buffer.concat([FILE.subarray(0, at), junk])),
);

const run = fc.record({
  faults: fc.array(fault, { maxLength: 4 }),
  /** Bytes after which the fetch is aborted; null: it is not. */
  abortAt: fc.option(place),
});

test("whatever a hub sends and whenever a fetch ends, only whole files get their name, and the next one that is let gets it", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  await fc.assert(
    fc.asyncProperty(left, fc.array(run, { maxLength: 3 }), async (before, runs) => {
      rmSync(hub.cached(), { recursive: true, force: true });
      mkdirSync(hub.cached("blobs"), { recursive: true });
      if (before !== null) writeFileSync(hub.cached("blobs", `${SHA}.incomplete`), before);
      for (const { faults, abortAt } of runs) {
        hub.faults.splice(0, Infinity, ...faults);
        await fetchOrFail(hub, abortAt);
        const isNamed = existsSync(hub.cached("blobs", SHA));
        if (isNamed) assert.deepEqual(readFileSync(hub.cached("blobs", SHA)), FILE);
        assert.equal((await hub.find("hf:owner/repo")) !== null, isNamed);
      }
      hub.faults.length = 0;
      assert.deepEqual(readFileSync((await hub.fetch("hf:owner/repo")).path), FILE);
      assert.deepEqual(readdirSync(hub.cached("blobs")), [SHA]);
    }),
    { numRuns: 25 },
  );
});

/** A fetch fails with a sentence, or because it was told to. */
async function fetchOrFail(hub: StandInHub, abortAt: number | null): Promise<void> {
  const controller = new AbortController();
  const limits = { roomIn: async () => aborting() };
  let rooms = 0;
  // The second time that it asks for room, an answer has begun.
  const aborting = (): number => {
    rooms += 1;
    if (abortAt !== null && rooms === 2) setTimeout(() => controller.abort(), abortAt % 4);
    return Infinity;
  };
  try {
    await hub.fetch("hf:owner/repo", { signal: controller.signal, limits });
  } catch (error) {
    if (!controller.signal.aborted)
      assert.ok(error instanceof AltLasError && error.code === "model_fetch_failed", String(error));
  }
}

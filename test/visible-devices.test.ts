/** What CUDA_VISIBLE_DEVICES and AMD's variables leave of the GPUs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type GpuIdentity } from "../src/gpu/telemetry/telemetry.ts";
import { visibleAmd, visibleNvidia } from "../src/gpu/inventory/visible-devices.ts";
import { card, migDevice } from "./helpers/gpu-identities.ts";

const CARDS = [
  card("GPU-8932f937-d72c", "0000:01:00.0", { index: 0 }),
  card("GPU-89aa0000-0000", "0000:02:00.0", { index: 1 }),
  card("GPU-c1000000-0000", "0000:03:00.0", { index: 2 }),
];
const [A, B, C] = CARDS.map(({ uuid }) => uuid) as [string, string, string];

function visible(value: string | undefined, gpus: readonly GpuIdentity[] = CARDS) {
  const { visible: left, notes } = visibleNvidia(gpus, [], { CUDA_VISIBLE_DEVICES: value });
  return { uuids: left.map(({ uuid }) => uuid), notes };
}

const SILENT: readonly (readonly [string, string | undefined, readonly string[]])[] = [
  ["not set: everything", undefined, [A, B, C]],
  ["empty: nothing", "", []],
  ["-1: nothing", "-1", []],
  ["an index, as nvidia-smi has it", "1", [B]],
  ["indices in any order, with spaces", " 2, 0", [A, C]],
  ["what follows -1 is hidden", "0,2,-1,1", [A, C]],
  ["a whole UUID", C, [C]],
  ["the first digits of a UUID", "GPU-c1", [C]],
  ["digits in upper case", "GPU-C1", [C]],
  ["the same GPU twice, in two ways", "2,GPU-c1,2", [C]],
];

for (const [what, value, uuids] of SILENT) {
  test(`CUDA_VISIBLE_DEVICES ${what}`, () => {
    assert.deepEqual(visible(value), { uuids, notes: [] });
  });
}

const NOTED: readonly (readonly [string, string, readonly string[], string])[] = [
  ["an index that no GPU has", "0,7,1", [A], "names 7, which fits no GPU that is here"],
  ["digits that fit two GPUs", "0,GPU-89,1", [A], "names GPU-89, which fits several GPUs"],
  ["a UUID of another machine", "GPU-ffff", [], "names GPU-ffff, which fits no GPU that is here"],
  ["a word", "all", [], "names all, which fits no GPU that is here"],
];

for (const [what, value, uuids, note] of NOTED) {
  test(`CUDA_VISIBLE_DEVICES ends at ${what}, and says so`, () => {
    assert.deepEqual(visible(value), {
      uuids,
      notes: [`CUDA_VISIBLE_DEVICES ${note}; it hides what follows it.`],
    });
  });
}

test("of any list of indices those before the first invalid one are visible, in PCI order", () => {
  const entry = fc.integer({ min: -2, max: 5 });
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1 }), (indices) => {
      const end = indices.findIndex((index) => index < 0 || index > 2);
      const valid = new Set(end === -1 ? indices : indices.slice(0, end));
      assert.deepEqual(
        visible(indices.join(",")).uuids,
        CARDS.filter((_, index) => valid.has(index)).map(({ uuid }) => uuid),
      );
    }),
  );
});

const DIVIDED = [
  card("GPU-plain", "0000:01:00.0", { index: 0 }),
  migDevice("MIG-1111", { uuid: "GPU-split", pciBusId: "0000:02:00.0" }, 0),
  migDevice("MIG-2222", { uuid: "GPU-split", pciBusId: "0000:02:00.0" }, 1),
  card("GPU-last", "0000:03:00.0", { index: 2 }),
];

test("MIG devices are named by their ids, also short ones", () => {
  assert.deepEqual(visible("MIG-2222,MIG-1", DIVIDED), { uuids: ["MIG-1111", "MIG-2222"], notes: [] });
});

test("a card that is divided stands for its first MIG device, as with CUDA, and counts as one index", () => {
  assert.deepEqual(visible("1", DIVIDED).uuids, ["MIG-1111"]);
  assert.deepEqual(visible("GPU-split", DIVIDED).uuids, ["MIG-1111"]);
  assert.deepEqual(visible("2", DIVIDED).uuids, ["GPU-last"]);
});

test("a MIG id of the old form is understood where the driver uses it, or the card has one MIG device; else it is said", () => {
  const old = "MIG-GPU-split/1/0";
  assert.deepEqual(visible(old, [DIVIDED[0]!, DIVIDED[1]!]), { uuids: ["MIG-1111"], notes: [] });
  const spelled = [1, 2].map((instance) =>
    migDevice(`MIG-GPU-split/${instance}/0`, { uuid: "GPU-split", pciBusId: "0000:02:00.0" }, instance),
  );
  assert.deepEqual(visible(old, spelled), { uuids: [old], notes: [] });
  const { uuids, notes } = visible(old, DIVIDED);
  assert.deepEqual(uuids, []);
  assert.match(
    notes[0]!,
    /names MIG-GPU-split\/1\/0, which is a MIG id of the old form that cannot be told apart here/,
  );
});

const GONE = { uuid: "GPU-gone-1", number: 1, name: "Gone", pciBusId: "0000:09:00.0" };

function missed(value: string | undefined) {
  const selection = visibleNvidia([CARDS[0]!], [GONE], { CUDA_VISIBLE_DEVICES: value });
  return [selection.visible.map(({ uuid }) => uuid), selection.missed.map(({ uuid }) => uuid), selection.notes];
}

test("a GPU that is gone is missed where the list names it, by number or UUID, and hides nothing that follows", () => {
  assert.deepEqual(missed(undefined), [[A], ["GPU-gone-1"], []]);
  assert.deepEqual(missed("GPU-gone,0"), [[A], ["GPU-gone-1"], []]);
  assert.deepEqual(missed("1,0"), [[A], ["GPU-gone-1"], []]);
  assert.deepEqual(missed("0"), [[A], [], []]);
  assert.deepEqual(missed(A), [[A], [], []]);
  assert.deepEqual(missed(""), [[], [], []]);
});

const RADEONS = ["AMD-aa11", "AMD-bb22", "AMD-cc33"].map((uuid, index) =>
  card(uuid, `0000:0${index + 1}:00.0`, { vendor: "amd", index }),
);

const AMD_LISTS: readonly (readonly [NodeJS.ProcessEnv, readonly string[]])[] = [
  [{}, ["AMD-aa11", "AMD-bb22", "AMD-cc33"]],
  [{ HIP_VISIBLE_DEVICES: "1" }, ["AMD-bb22"]],
  [{ ROCR_VISIBLE_DEVICES: "GPU-cc33,0" }, ["AMD-aa11", "AMD-cc33"]],
  [{ ROCR_VISIBLE_DEVICES: "1,2", HIP_VISIBLE_DEVICES: "1" }, ["AMD-cc33"]],
  [{ CUDA_VISIBLE_DEVICES: "" }, ["AMD-aa11", "AMD-bb22", "AMD-cc33"]],
];

for (const [environment, uuids] of AMD_LISTS) {
  test(`AMD's GPUs with ${JSON.stringify(environment)}`, () => {
    assert.deepEqual(
      visibleAmd(RADEONS, [], environment).visible.map(({ uuid }) => uuid),
      uuids,
    );
  });
}

/** Whatever nvidia-smi writes, cut anywhere: its figures are figures that can be true, or null. As a process: wide/nvidia-smi.test.ts. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  busIdIn,
  failureIn,
  IDENTITY_FIELDS,
  identityOf,
  isDividedByMig,
  migDevicesIn,
  PROCESS_FIELDS,
  processOf,
  refusedField,
  type Row,
  rowOf,
  SAMPLE_FIELDS,
  sampleOf,
  slowdownTemperaturesIn,
} from "../src/gpu/telemetry/nvidia-smi-output.ts";

const IDENTITY =
  "00000000:65:00.0, GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77, 0, NVIDIA A100, 40960, 570.1, 8.0, Disabled";
const SAMPLE = "00000000:65:00.0, 97, 40960, 30000, 10960, 71, 251.50, 400.00, 7, 1, 0x25, 0x25";
const PROCESS = "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77, 4711, 1024";

/** What drivers write for what they do not know, or should not have written. */
const ODD = [
  "",
  "-",
  "-1",
  "NaN",
  "nan",
  "inf",
  "1e9",
  "0x10",
  "1,5",
  ".5",
  "+5",
  "[N/A]",
  "[Unknown Error]",
  "9".repeat(400),
];

/** A row whose value at one place is another. */
function withValue(line: string, at: number, value: string): string {
  return line.split(", ").with(at, value).join(", ");
}

function within(value: number | null, least: number, most: number): void {
  assert(value === null || (value >= least && value <= most), String(value));
}

function wholeWithin(value: number | null, least = 0, most = Number.MAX_SAFE_INTEGER): void {
  within(value, least, most);
  assert(value === null || Number.isSafeInteger(value), String(value));
}

/** Takes a line for each of the three things that it may be, and looks at all that comes of it. */
function lookAt(line: string): void {
  const busId = busIdIn(line);
  assert(busId === null || /^([0-9a-f]{4}){1,2}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(busId), String(busId));
  for (const fields of [IDENTITY_FIELDS, SAMPLE_FIELDS, PROCESS_FIELDS]) {
    const row = rowOf(fields, line);
    if (row !== null) lookAtRow(row);
  }
}

function lookAtRow(row: Row): void {
  assert.equal(typeof isDividedByMig(row), "boolean");
  const failure = failureIn(row);
  assert(failure === null || /^(is lost|needs a reset|answers with an unknown error)$/.test(failure));
  const identity = identityOf(row);
  if (identity !== null) {
    assert.match(identity.uuid, /^GPU-[\w-]+$/);
    assert(identity.name !== "" && !/\p{Cc}/u.test(identity.name));
    wholeWithin(identity.index, 0, 100_000);
    wholeWithin(identity.memoryTotal);
    within(identity.computeCapability, 1, 100);
  }
  const sample = sampleOf("GPU-1", row, null);
  within(sample.utilization, 0, 100);
  for (const memory of [sample.memoryTotal, sample.memoryUsed, sample.memoryFree]) wholeWithin(memory);
  within(sample.temperature, -273, 1000);
  for (const watts of [sample.power, sample.powerLimit]) within(watts, 0, 100_000);
  for (const errors of Object.values(sample.ecc ?? {})) wholeWithin(errors);
  const found = processOf(row);
  if (found !== null) {
    wholeWithin(found.process.pid, 1, 2 ** 32 - 1);
    wholeWithin(found.process.memory);
  }
}

function sampleIn(line: string) {
  return sampleOf("GPU-1", rowOf(SAMPLE_FIELDS, line)!, null);
}

function slowdownIn(degrees: string): number[] {
  return [...slowdownTemperaturesIn(`GPU 00000000:65:00.0\n    GPU Slowdown Temp : ${degrees} C\n`).values()];
}

function migIndexesIn(index: string): number[] {
  const list = `GPU 0: A (UUID: GPU-1)\n  MIG 3g.20gb     Device  ${index}: (UUID: MIG-2)\n`;
  return [...migDevicesIn(list).values()].flat().map((device) => device.index);
}

describe("a figure that is none is null", () => {
  for (const odd of ODD.filter((text) => !text.includes(","))) {
    it(JSON.stringify(odd.slice(0, 20)), () => {
      const all = SAMPLE_FIELDS.slice(1).reduce((line, _, at) => withValue(line, at + 1, odd), SAMPLE);
      const { uuid, processes, throttle, temperature, ...figures } = sampleIn(all);
      assert.deepEqual([uuid, processes, [...new Set(Object.values(figures))]], ["GPU-1", null, [null]]);
      assert.equal(temperature, odd === "-1" ? -1 : null);
      assert.deepEqual(throttle, odd === "0x10" ? ["sync_boost"] : null);
      assert.equal(processOf(rowOf(PROCESS_FIELDS, withValue(PROCESS, 1, odd))!), null);
    });
  }

  it("and those beside it are what they are", () => {
    const { utilization, memoryUsed, power, ecc } = sampleIn(withValue(withValue(SAMPLE, 1, "101"), 8, "-7"));
    assert.deepEqual([utilization, memoryUsed, power, ecc], [null, 30_000 * 1024 ** 2, 251.5, null]);
  });

  it("in the other reports too", () => {
    const endless = "9".repeat(400);
    assert.deepEqual([slowdownIn("89"), slowdownIn(endless)], [[89], []]);
    assert.deepEqual([migIndexesIn("3"), migIndexesIn(endless)], [[3], []]);
  });
});

describe("fuzzed", () => {
  const noise = fc.oneof(
    fc.constantFrom(...ODD),
    fc.string({ maxLength: 20 }),
    fc.uint8Array({ maxLength: 20 }).map((value) => new TextDecoder().decode(value)),
    fc.double().map(String),
    fc.bigInt().map(String),
    fc.bigInt({ min: 0n }).map((value) => `0x${value.toString(16)}`),
  );
  const line = fc.oneof(
    ...[IDENTITY, SAMPLE, PROCESS].map((good) =>
      fc
        .array(fc.tuple(fc.nat(good.split(", ").length - 1), noise), { maxLength: 4 })
        .map((changes) =>
          changes.reduce((all, [at, value]) => withValue(all, at % all.split(", ").length, value), good),
        ),
    ),
    noise,
    fc.array(noise, { maxLength: 13 }).map((values) => values.join(", ")),
  );

  it("a line of any kind, cut anywhere, has figures that can be true", () => {
    fc.assert(
      fc.property(line, fc.nat(200), fc.nat(200), (text, from, to) => {
        lookAt(text);
        lookAt(text.slice(0, to));
        lookAt(text.slice(from));
      }),
      { numRuns: 2000 },
    );
  });

  it("so have reports of many lines", () => {
    const piece = fc.oneof(
      noise,
      noise.map((value) => `    GPU Slowdown Temp : ${value} C`),
      noise.map((value) => `  MIG ${value}.20gb     Device  ${value}: (UUID: MIG-${value})`),
      fc.constantFrom(
        "GPU 00000000:65:00.0",
        "GPU 0: NVIDIA (UUID: GPU-1)",
        "\r",
        "",
        'Field "a" is not a valid field to query',
      ),
    );
    fc.assert(
      fc.property(fc.array(piece), fc.nat(400), (lines, to) => {
        const report = lines.join("\n").slice(0, to);
        for (const degrees of slowdownTemperaturesIn(report).values()) wholeWithin(degrees, 1, 1000);
        for (const devices of migDevicesIn(report).values())
          for (const { index, uuid } of devices) {
            wholeWithin(index, 0, 100_000);
            assert.match(uuid, /^MIG-/);
          }
        assert(refusedField(report) !== "");
      }),
      { numRuns: 1000 },
    );
  });
});

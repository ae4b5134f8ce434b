/** The memory in which models may be on a device, and who shares it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { roomOn } from "../src/gpu/card/room.ts";
import { aGpu } from "./helpers/devices.ts";

const on = (...devices: ReturnType<typeof aGpu>[]) => devices.map((device) => ({ device, instances: [] }));

test("devices on one card, or on cards that another one joins, share their memory; others do not", () => {
  const [first, second, both, other] = [
    aGpu({ id: 0, uuids: ["GPU-a"] }),
    aGpu({ id: 1, uuids: ["GPU-b"] }),
    aGpu({ id: 2, uuids: ["GPU-b", "GPU-a"] }),
    aGpu({ id: 3, uuids: ["GPU-c"] }),
  ];
  const all = on(first!, second!, both!, other!);
  const sharers = all.map(
    ({ device }) => roomOn({ device: { ...device, memoryTotal: 100 }, reading: null, all })?.sharedBy,
  );
  assert.deepEqual(sharers, [[0, 1, 2], [0, 1, 2], [0, 1, 2], undefined]);
});

test("all devices that compute on the machine share its memory, and only what others take there is reserved", () => {
  const devices = [0, 1].map((id) =>
    aGpu({ id, kind: "cpu", vendor: "cpu", uuids: [`CPU-${id}`], memoryTotal: 2 ** 40 }),
  );
  const room = roomOn({ device: devices[0]!, reading: null, all: on(...devices) })!;
  assert.deepEqual(room.sharedBy, [0, 1]);
  assert.ok(room.reserved > 0 && room.reserved <= room.total + 2 ** 30);
});

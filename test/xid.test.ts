/** What an Xid error calls for, by NVIDIA's catalogue, and which GPUs stand on the PCI bus. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { findPciGpus } from "../src/gpu/inventory/pci.ts";
import { describeXid, sentenceOfXid } from "../src/gpu/card/xid.ts";
import { amdCard, FakeSysfs } from "./helpers/fake-drivers.ts";

const UNKNOWN = describeXid(100_000);

function actionsOf(xids: readonly number[]): Set<string> {
  return new Set(xids.map((xid) => describeXid(xid).action));
}

test("an Xid after which the card needs a reset says so", () => {
  assert.deepEqual(actionsOf([48, 62, 64, 74, 79, 95, 119, 120, 140, 143]), new Set(["reset"]));
});

test("an Xid that one process ran into calls for a new worker", () => {
  assert.deepEqual(actionsOf([13, 31, 32, 43, 69, 94]), new Set(["restart"]));
});

test("an Xid that nothing has to be done about is counted", () => {
  assert.deepEqual(actionsOf([63, 92, 154]), new Set(["count"]));
});

test("the Xid that follows when a worker is killed does not call for killing the next one", () => {
  assert.equal(describeXid(45).action, "count");
});

test("an Xid that the catalogue does not have is counted", () => {
  assert.equal(UNKNOWN.action, "count");
  assert.equal(UNKNOWN.xid, 100_000);
  assert.deepEqual(describeXid(1).name, UNKNOWN.name);
});

test("every Xid is described by a clause that makes a sentence", () => {
  const described = Array.from({ length: 1000 }, (_, xid) => describeXid(xid)).filter(
    ({ name }) => name !== UNKNOWN.name,
  );
  assert.ok(described.length > 100);
  for (const { xid, name } of described) {
    assert.match(name, /^\S.*[^.\s]$/, `Xid ${xid}`);
    assert.equal(sentenceOfXid(xid), `Xid ${xid}: ${name}.`);
  }
  assert.equal(sentenceOfXid(79), "Xid 79: the GPU has fallen off the bus.");
});

test("the GPUs on the PCI bus are listed in its order, with the driver that drives them, and no other devices", async (t) => {
  const sysfs = new FakeSysfs(t);
  sysfs.add({ busId: "0000:65:00.0", vendor: "0x10de", class: "0x030200", files: { device: "0x2330" } });
  sysfs.add({ busId: "0000:02:00.0", vendor: "0x10de", class: "0x040300" });
  sysfs.add({ busId: "0000:01:00.0", vendor: "0x10de", class: "0x030000", files: { uevent: "DRIVER=nvidia\nX=1" } });
  sysfs.add({ busId: "0000:04:00.0", vendor: "0x1002", class: "0x120000", files: { device: "0x74a1" } });
  sysfs.add({ busId: "0000:05:00.0", vendor: "0x8086", class: "0x120000" });
  sysfs.add(amdCard(3));
  assert.deepEqual(await findPciGpus(sysfs.root), [
    { busId: "0000:01:00.0", vendor: "nvidia", deviceId: null, driver: "nvidia" },
    { busId: "0000:03:00.0", vendor: "amd", deviceId: "0x744c", driver: null },
    { busId: "0000:04:00.0", vendor: "amd", deviceId: "0x74a1", driver: null },
    { busId: "0000:65:00.0", vendor: "nvidia", deviceId: "0x2330", driver: null },
  ]);
});

test("a system without a PCI bus under /sys has no GPUs there", async (t) => {
  assert.deepEqual(await findPciGpus(join(new FakeSysfs(t).root, "none")), []);
});

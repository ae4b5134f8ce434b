/** AMD GPUs as the kernel tells them, from a stand-in for its /sys. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { openAmd } from "../src/gpu/telemetry/amd.ts";
import { type Driver } from "../src/gpu/telemetry/telemetry.ts";
import { amdCard, type FakePciDevice, FakeSysfs } from "./helpers/fake-drivers.ts";

async function open(
  t: TestContext,
  ...devices: readonly FakePciDevice[]
): Promise<{ driver: Driver; sysfs: FakeSysfs }> {
  const sysfs = new FakeSysfs(t);
  for (const device of devices) sysfs.add(device);
  return { driver: await openAmd(sysfs.root), sysfs };
}

test("a card is known by its unique id, its bus and its name", async (t) => {
  const { driver } = await open(
    t,
    amdCard(3, { product_name: "AMD Radeon RX 7900 XTX", unique_id: "d2c1a0a5b3f7e610" }),
  );
  assert.deepEqual(await driver.discover(), [
    {
      vendor: "amd",
      uuid: "AMD-d2c1a0a5b3f7e610",
      parentUuid: null,
      pciBusId: "0000:03:00.0",
      index: 3,
      name: "AMD Radeon RX 7900 XTX",
      computeCapability: null,
      memoryTotal: 25_753_026_560,
      slowdownTemperature: 100,
    },
  ]);
});

test("a card that tells neither its name nor a unique id is known by its model number and its bus", async (t) => {
  const { driver, sysfs } = await open(t, amdCard(0xa, { product_name: "" }));
  sysfs.unset("0000:0a:00.0", "unique_id");
  const [gpu] = await driver.discover();
  assert.equal(gpu?.uuid, "AMD-0000:0a:00.0");
  assert.equal(gpu?.name, "AMD GPU 0x744c");
});

test("its figures are bytes, percent, degrees and watts", async (t) => {
  const { driver, sysfs } = await open(t, amdCard(3, { "ras/umc_err_count": "ue: 1\nce: 7" }));
  sysfs.set("0000:03:00.0", "gpu_busy_percent", "97");
  sysfs.set("0000:03:00.0", "mem_info_vram_used", "753026560");
  const { samples, lost, events } = await driver.sample();
  assert.deepEqual(samples, [
    {
      uuid: "AMD-0000000000000003",
      utilization: 97,
      memoryTotal: 25_753_026_560,
      memoryUsed: 753_026_560,
      memoryFree: 25_000_000_000,
      temperature: 45,
      power: 21,
      powerLimit: 303,
      energy: null,
      throttle: null,
      processes: null,
      ecc: { corrected: 7, uncorrected: 1 },
    },
  ]);
  assert.deepEqual([lost, events], [[], []]);
});

test("what a card does not tell is null, never 0", async (t) => {
  const { driver, sysfs } = await open(t, amdCard(3));
  for (const name of ["gpu_busy_percent", "mem_info_vram_used", "hwmon/hwmon3/temp1_input"])
    sysfs.unset("0000:03:00.0", name);
  sysfs.unset("0000:03:00.0", "hwmon/hwmon3/power1_average");
  const [sample] = (await driver.sample()).samples;
  assert.ok(sample);
  const { utilization, memoryUsed, memoryFree, temperature, power, ecc, memoryTotal } = sample;
  assert.deepEqual(
    [utilization, memoryUsed, memoryFree, temperature, power, ecc],
    [null, null, null, null, null, null],
  );
  assert.equal(memoryTotal, 25_753_026_560);
});

test("cards without an edge sensor and an averaging power sensor give the junction's temperature and the power of the moment", async (t) => {
  const { driver, sysfs } = await open(
    t,
    amdCard(3, {
      "hwmon/hwmon3/temp2_input": "61000",
      "hwmon/hwmon3/temp2_crit": "110000",
      "hwmon/hwmon3/power1_input": "140000000",
    }),
  );
  for (const name of ["temp1_input", "temp1_crit", "power1_average"])
    sysfs.unset("0000:03:00.0", `hwmon/hwmon3/${name}`);
  const [gpu] = await driver.discover();
  const [sample] = (await driver.sample()).samples;
  assert.deepEqual([gpu?.slowdownTemperature, sample?.temperature, sample?.power], [110, 61, 140]);
});

for (const count of [1, 2, 8]) {
  test(`${count} cards are listed in PCI bus order, whatever their numbers`, async (t) => {
    const cards = Array.from({ length: count }, (_, at) => ({ ...amdCard(0x10 + at), card: count - at }));
    const { driver } = await open(t, ...cards.toReversed());
    const gpus = await driver.discover();
    assert.deepEqual(
      gpus.map(({ pciBusId, index }) => [pciBusId, index]),
      cards.map(({ busId, card }) => [busId, card]),
    );
    assert.deepEqual(
      new Set((await driver.sample()).samples.map(({ uuid }) => uuid)),
      new Set(gpus.map(({ uuid }) => uuid)),
    );
  });
}

test("other vendors' cards and other devices are left alone", async (t) => {
  const { driver } = await open(
    t,
    { busId: "0000:01:00.0", vendor: "0x10de", class: "0x030000", card: 0 },
    { busId: "0000:02:00.0", vendor: "0x1002", class: "0x040300", card: 1 },
    amdCard(3),
  );
  assert.deepEqual(
    (await driver.discover()).map(({ pciBusId }) => pciBusId),
    ["0000:03:00.0"],
  );
});

test("a machine without an AMD GPU is refused with a sentence", async (t) => {
  const { root } = new FakeSysfs(t);
  await assert.rejects(openAmd(root), { message: `There is no AMD GPU under ${root}/class/drm.` });
});

test("a card that falls off the bus is lost, its neighbour is not, and it is there again when it returns under another number", async (t) => {
  const card = amdCard(3);
  const { driver, sysfs } = await open(t, card, amdCard(4));
  sysfs.remove(card);
  const without = await driver.sample();
  assert.deepEqual(without.lost, [
    { uuid: "AMD-0000000000000003", reason: "The kernel no longer lists the AMD GPU at 0000:03:00.0." },
  ]);
  assert.deepEqual(
    without.samples.map(({ uuid }) => uuid),
    ["AMD-0000000000000004"],
  );
  sysfs.add({ ...card, card: 9 });
  const again = await driver.sample();
  assert.deepEqual([again.samples.length, again.lost], [2, []]);
  assert.equal((await driver.discover())[0]?.index, 9);
});

test("a card whose files answer with an I/O error is lost", async (t) => {
  if (!existsSync("/proc/self/mem")) return t.skip("no file here answers with an I/O error");
  const { driver, sysfs } = await open(t, amdCard(3));
  sysfs.break("0000:03:00.0", "gpu_busy_percent");
  assert.deepEqual(await driver.sample(), {
    samples: [],
    lost: [{ uuid: "AMD-0000000000000003", reason: "The AMD GPU at 0000:03:00.0 no longer answers." }],
    events: [],
  });
});

test("one sensor that answers with an I/O error does not lose the card", async (t) => {
  if (!existsSync("/proc/self/mem")) return t.skip("no file here answers with an I/O error");
  const { driver, sysfs } = await open(t, amdCard(3));
  sysfs.break("0000:03:00.0", "hwmon/hwmon3/power1_average");
  const { samples, lost } = await driver.sample();
  assert.deepEqual([samples[0]?.power, lost], [null, []]);
});

/** Calendar days in zones, and tables as CSV: what usage is shown by. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { dayAfter, HOUR, isDay, Zone } from "../src/common/zone.ts";
import { type Cell, csvOf } from "../src/http/csv.ts";

function zone(name: string): Zone {
  const found = Zone.named(name);
  assert.ok(found !== null, name);
  return found;
}

function hour(time: string): number {
  return Date.parse(time) / HOUR;
}

test("an hour belongs to the day on which it begins in the zone, also where half of it is on the next one", () => {
  for (const [name, time, day] of [
    ["UTC", "2026-11-29T23:00Z", "2026-11-29"],
    ["Europe/Istanbul", "2026-11-29T20:00Z", "2026-11-29"],
    ["Europe/Istanbul", "2026-11-29T21:00Z", "2026-11-30"],
    // Midnight is at half past: the hour in which it falls is the last one of the day before.
    ["Asia/Kolkata", "2026-11-29T18:00Z", "2026-11-29"],
    ["Asia/Kolkata", "2026-11-29T19:00Z", "2026-11-30"],
    ["Asia/Kathmandu", "2026-11-29T18:00Z", "2026-11-29"],
    ["America/New_York", "2026-11-29T04:00Z", "2026-11-28"],
    ["Pacific/Kiritimati", "2026-11-29T10:00Z", "2026-11-30"],
  ] as const)
    assert.equal(zone(name).dayOf(hour(time)), day, `${name} ${time}`);
});

test("a day begins with its first hour, on days that are longer or shorter, or left out, too", () => {
  for (const [name, day, time] of [
    ["UTC", "2026-11-29", "2026-11-29T00:00Z"],
    ["Europe/Berlin", "2026-03-29", "2026-03-28T23:00Z"],
    ["Europe/Berlin", "2026-03-30", "2026-03-29T22:00Z"],
    ["Asia/Kolkata", "2026-11-29", "2026-11-28T19:00Z"],
    // There was no midnight: the clocks went from 0:00 to 1:00.
    ["America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z"],
    // There was no such day at all.
    ["Pacific/Apia", "2011-12-30", "2011-12-30T10:00Z"],
  ] as const)
    assert.equal(zone(name).firstHourOf(day), hour(time), `${name} ${day}`);
  const day = fc.date({ min: new Date("1970-01-02"), max: new Date("2999-12-30"), noInvalidDate: true });
  const names = fc.constantFrom(...Intl.supportedValuesOf("timeZone"));
  const property = fc.property(names, day, (name, date) => {
    const [within, wanted] = [zone(name), date.toISOString().slice(0, 10)];
    const first = within.firstHourOf(wanted);
    assert.ok(within.dayOf(first) >= wanted && within.dayOf(first - 1) < wanted);
  });
  fc.assert(property, { numRuns: 50 });
});

test("what is no zone, or no day, is known", () => {
  for (const name of ["", "Mars/Olympus", "Europe/Istanbul ", "x".repeat(1000)]) assert.equal(Zone.named(name), null);
  for (const day of ["2026-02-30", "2026-2-3", "1969-12-31", "9999-12-31", "2026-11-29T00:00Z", ""])
    assert.equal(isDay(day), false, day);
  assert.deepEqual(
    [isDay("2024-02-29"), dayAfter("2024-02-28"), dayAfter("2026-01-01", -1)],
    [true, "2024-02-29", "2025-12-31"],
  ); // oxfmt
});

function isFormula(cell: Cell): boolean {
  return typeof cell === "string" && /^[=+\-@\t\r\n＝＋－＠]/.test(cell);
}

/** Reads CSV as RFC 4180 has it. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/gy;
  for (let found = cell.exec(text); found !== null; found = cell.exec(text)) {
    row.push(found[1]?.replaceAll('""', '"') ?? found[2]!);
    if (found[3] === ",") continue;
    rows.push(row);
    row = [];
  }
  return rows;
}

test("a table comes back from CSV as it was, but no text begins like a formula", () => {
  const text = fc.string({
    unit: fc.constantFrom("a", "=", "+", "-", "@", '"', ",", "\r", "\n", "\t", "ş", "＝", " "),
  });
  const cell: fc.Arbitrary<Cell> = fc.oneof(text, fc.integer(), fc.constant(null));
  const property = fc.property(fc.array(fc.array(cell, { minLength: 2, maxLength: 2 })), (rows) => {
    const expected = rows.map((row) => row.map((one) => (isFormula(one) ? `'${one}` : String(one ?? ""))));
    assert.deepEqual(readCsv(csvOf(rows)), expected);
  });
  fc.assert(property, { numRuns: 300 });
  assert.equal(csvOf([["=1+1", -1, null, 'a"b']]), `'=1+1,-1,,"a""b"\r\n`);
});

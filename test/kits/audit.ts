/* What every store promises about the audit log (src/store/audit.ts). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { AuditEntry, AuditFilter, AuditRecord, AuditRow } from "../../src/store/audit.ts";
import { type MakePlace, opened } from "../helpers/store.ts";
import { anyId, maybe, plain, text, time } from "./arbitraries.ts";
import { ALL_ROWS, AUDIT_ROW, NOW } from "./records.ts";

const NOTHING_ELSE = { endedBefore: 0, maxEnded: null, keysBefore: 0, usageBefore: 0 };

/** @param name of the store @param make see `MakePlace` */
export function exerciseAudit(name: string, make: MakePlace): void {
  describe(name, () => {
    test("a row of the audit log comes back as it was, after a restart too", async (t) => {
      const world = await opened(t, make);
      const rows = plain<AuditRow>({
        id: anyId(),
        at: time(),
        keptFrom: time(),
        way: fc.constantFrom("http", "command", "signal"),
        user: maybe(text()),
        key: maybe(text()),
        address: maybe(text()),
        action: text(),
        target: maybe(text()),
        outcome: text(),
        details: maybe(text()),
      });
      const made: AuditRow[] = [];
      const property = fc.asyncProperty(rows, async (one) => {
        await world.store.save([], [audit(one)]);
        made.push(one);
        const [found] = await world.store.audit.list({ ...ALL_ROWS, limit: 1 });
        assert.deepEqual(withoutNumber(found!), one);
      });
      await fc.assert(property, { numRuns: 30 });
      const { store } = await world.restart();
      assert.deepEqual((await store.audit.list(ALL_ROWS)).map(withoutNumber), made.toReversed());
    });

    test("a row that is saved again is there once, as it was first", async (t) => {
      const { store } = await opened(t, make);
      await store.save([], [audit(AUDIT_ROW)]);
      await store.save([], [audit({ ...AUDIT_ROW, outcome: "forbidden" })]);
      assert.deepEqual((await store.audit.list(ALL_ROWS)).map(withoutNumber), [AUDIT_ROW]);
    });

    test("rows are selected and continued, however few are looked at at once", async (t) => {
      const { store } = await opened(t, make);
      const users = ["ada", "bob", null];
      const rows = Array.from({ length: 20 }, (_, index) => ({
        ...AUDIT_ROW,
        id: `${index}`,
        at: NOW + index,
        user: users[index % 3]!,
        action: index % 2 === 0 ? "gpu.drain" : "gpu.resume",
        target: `${index % 5}`,
      }));
      await store.save([], rows.map(audit));
      for (const atOnce of [1, 3, 7, 1000]) {
        const ids = async (filter: Partial<AuditFilter>): Promise<string> =>
          (await store.audit.list({ ...ALL_ROWS, ...filter }, atOnce)).map(({ id }) => id).join(" ");
        assert.equal(await ids({ limit: 3 }), "19 18 17");
        assert.equal(await ids({ user: "ada" }), "18 15 12 9 6 3 0");
        assert.equal(await ids({ user: "ada", action: "gpu.drain" }), "18 12 6 0");
        assert.equal(await ids({ target: "4", limit: 2 }), "19 14");
        assert.equal(await ids({ since: NOW + 5, until: NOW + 8 }), "7 6 5");
        assert.equal(await ids({ user: "eve" }), "");
        const [, , third] = await store.audit.list({ ...ALL_ROWS, limit: 3 }, atOnce);
        assert.equal(await ids({ after: third!.number, limit: 2 }), "16 15");
      }
    });

    test("a sweep removes the oldest rows alone, and no number is given twice", async (t) => {
      const world = await opened(t, make);
      const rows = [1, 2, 3].map((age) => ({ ...AUDIT_ROW, id: `${age}`, keptFrom: NOW + age }));
      await world.store.save([], rows.map(audit));
      const numbers = (await world.store.audit.list(ALL_ROWS)).map(({ number }) => number);
      while (await world.store.sweep(NOTHING_ELSE));
      assert.equal((await world.store.audit.list(ALL_ROWS)).length, 3);
      while (await world.store.sweep({ ...NOTHING_ELSE, auditBefore: NOW + 3 }));
      assert.deepEqual(
        (await world.store.audit.list(ALL_ROWS)).map(({ id }) => id),
        ["3"],
      );
      while (await world.store.sweep({ ...NOTHING_ELSE, auditBefore: NOW + 4 }));
      const { store } = await world.restart();
      assert.deepEqual(await store.audit.list(ALL_ROWS), []);
      await store.save([], [audit({ ...AUDIT_ROW, id: "next" })]);
      const [next] = await store.audit.list(ALL_ROWS);
      assert.ok(next!.number > numbers[0]!, `${next!.number} after ${numbers.join()}`);
    });
  });
}

function audit(row: AuditRow): AuditRecord {
  return { kind: "audit", row };
}

function withoutNumber({ number: _number, ...row }: AuditEntry): AuditRow {
  return row;
}

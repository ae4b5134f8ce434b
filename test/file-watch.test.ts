/** Whether a disk hangs is told from a server that is busy. */
import assert from "node:assert/strict";
import { type Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { test } from "node:test";
import { FileWatch } from "../src/common/file-watch.ts";

function blockFor(milliseconds: number): void {
  const until = performance.now() + milliseconds;
  while (performance.now() < until);
}

test("a disk that answers in time does not hang, however busy the event loop is", async () => {
  const told: boolean[] = [];
  const { promise: seen, resolve } = Promise.withResolvers<void>();
  const watch = new FileWatch(import.meta.filename, {
    seen: () => resolve(),
    hangs: (doesHang) => void told.push(doesHang),
    look: (path) => {
      const stats = stat(path);
      // The answer is there while this runs, and so is the end of any patience.
      setTimeout(() => blockFor(400));
      return stats.then((found) => new Promise<Stats>((done) => setTimeout(() => (blockFor(300), done(found)))));
    },
  });
  await seen;
  watch.stop();
  assert.deepEqual(told, []);
});

test("a disk that does not answer hangs, until it does", async () => {
  const answer = Promise.withResolvers<Stats>();
  const { promise: hung, resolve: onHang } = Promise.withResolvers<void>();
  const { promise: seen, resolve: onSeen } = Promise.withResolvers<void>();
  const told: boolean[] = [];
  const watch = new FileWatch(import.meta.filename, {
    seen: () => onSeen(),
    hangs: (doesHang) => {
      told.push(doesHang);
      if (doesHang) onHang();
    },
    look: () => answer.promise,
  });
  // The watch keeps no process alive, and nothing else runs here.
  const alive = setInterval(() => {}, 1000);
  await hung;
  answer.resolve(await stat(import.meta.filename));
  await seen;
  clearInterval(alive);
  watch.stop();
  assert.deepEqual(told, [true, false]);
});

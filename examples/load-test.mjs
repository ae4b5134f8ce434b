/**
 * A load test: so many tasks, so many at once, and how long they took.
 *
 *     ALT_LAS_API_KEY=altlas_... node examples/load-test.mjs 200 16
 *
 * ALT_LAS_URL says where the server is (default: http://127.0.0.1:8642). Each task is real work for its GPUs.
 */
import { AltLas } from "@alt-las/client";

const { ALT_LAS_URL: url, ALT_LAS_API_KEY: apiKey } = process.env;
const [tasks = 200, atOnce = 16] = process.argv.slice(2).map(Number);
const client = new AltLas({ ...(url && { url }), apiKey });
const firsts = [];
const totals = [];
const failures = new Map();
let tokens = 0;
let left = tasks;

async function work() {
  while (left-- > 0) {
    const began = performance.now();
    let first = null;
    try {
      for await (const event of client.stream({ text: "Once upon a time", max_length: 48 })) {
        if (event.type === "token") first ??= performance.now() - began;
        else if (event.type === "completed") tokens += event.task.result.usage.completion_tokens;
        else if (event.type !== "placed")
          throw Object.assign(new Error(), { code: event.task.error_code ?? event.type });
      }
      firsts.push(first);
      totals.push(performance.now() - began);
    } catch ({ code = "unknown" }) {
      failures.set(code, (failures.get(code) ?? 0) + 1);
    }
  }
}

const began = performance.now();
await Promise.all(Array.from({ length: atOnce }, work));
const seconds = (performance.now() - began) / 1000;

function spread(times) {
  const sorted = times.toSorted((a, b) => a - b);
  return [0.5, 0.95, 1]
    .map((share) => `${Math.round(sorted[Math.ceil(share * sorted.length) - 1] ?? NaN)} ms`)
    .join(", ");
}

console.log(
  `${totals.length} tasks in ${seconds.toFixed(1)} s, ${atOnce} at once: ${(totals.length / seconds).toFixed(1)} a second`,
);
console.log(`${(tokens / seconds).toFixed(0)} tokens a second`);
console.log(`until the first token (median, 95 %, longest): ${spread(firsts)}`);
console.log(`until the end: ${spread(totals)}`);
for (const [code, count] of failures) console.log(`${count} failed: ${code}`);
process.exitCode = failures.size === 0 ? 0 : 1;

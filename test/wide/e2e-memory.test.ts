/** A server with little memory, and clients that send much and read nothing. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import { Server } from "../helpers/server.ts";

const MIB = 2 ** 20;
const CONFIG = "gpu: { devices: simulated:1 }\nengine: { kind: simulated }\n";

/** Resident MiB of a process; 0 where the system does not tell. */
function residentOf(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** Sends 59 MiB of a body of 60 MiB. @returns the status it was refused with; null: all of it was taken */
function unfinished(t: TestContext, { url, key }: Server): Promise<number | null> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  t.after(() => socket.destroy());
  const about = `Authorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: ${60 * MIB}\r\n`;
  socket.write(`POST /api/v1/predict HTTP/1.1\r\nHost: x\r\n${about}\r\n`);
  const piece = Buffer.alloc(MIB, "x");
  return new Promise((resolve) => {
    let left = 59;
    const more = (): void => {
      if (left-- > 0) socket.write(piece, more);
      else resolve(null);
    };
    socket.on("data", (answer) => resolve(Number(answer.toString().slice(9, 12))));
    socket.on("error", () => resolve(0));
    more();
  });
}

test("twelve bodies of 60 MiB that never end do not end a server with a small heap", async (t) => {
  const server = await Server.start(t, { config: CONFIG, env: { NODE_OPTIONS: "--max-old-space-size=320" } });
  await server.loaded();
  const before = residentOf(server.pid);
  const ends = await Promise.all(Array.from({ length: 12 }, () => unfinished(t, server)));
  // One is held, of a quarter of the heap; one more may have sent all before it read its refusal.
  const refused = ends.filter((status) => status !== null);
  assert(refused.length >= 9 && refused.includes(429), String(ends));
  const { text } = (await server.run({ text: "still here", max_length: 3 })).result!;
  assert(text.length > 0);
  const grown = residentOf(server.pid) - before;
  t.diagnostic(`grown by ${Math.round(grown)} MiB`);
  // The bodies that were refused are garbage for a while.
  assert(grown < 350, `grown by ${grown} MiB, of 708 MiB that were sent`);
});

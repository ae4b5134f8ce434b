/** An earlier version of the server and of the agent, which starts: see fixtures/servers. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { ROOT } from "./server.ts";
import { newFolder, type Owner } from "./server-handle.ts";

/** Unpacks one. It finds the packages of this copy. @param name of the fixture @returns its `bin/alt-las.js` */
export function earlierServer(owner: Owner, name: string): string {
  const folder = newFolder(owner);
  const input = brotliDecompressSync(readFileSync(join(ROOT, `test/fixtures/servers/${name}.tar.br`)));
  const { status, stderr } = spawnSync("tar", ["-x", "-C", folder], { input });
  assert.equal(status, 0, String(stderr));
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"), "junction");
  return join(folder, "bin", "alt-las.js");
}

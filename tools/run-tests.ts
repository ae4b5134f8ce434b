/**
 * Runs all tests, or the files that are named, one on each core. By itself Node leaves a core idle, which is half of a machine that has
 * two.
 */
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";

const named = process.argv.slice(2);
const files = named.length === 0 ? ["test/**/*.test.ts"] : named;
const options = ["--test", `--test-concurrency=${availableParallelism()}`];
process.exitCode = spawnSync(process.execPath, [...options, ...files], { stdio: "inherit" }).status ?? 1;

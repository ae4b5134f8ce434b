/** A program that runs test files as tools/run-tests.ts does, and prints what came of it. */
import { type RunOptions, runTests } from "../../tools/test-run.ts";

const { files, ...options } = JSON.parse(process.argv[2]!) as RunOptions & { readonly files: readonly string[] };
const told: string[] = [];
const { passed, failures } = await runTests(files, {
  ...options,
  write: () => {},
  tell: (failure) => void told.push(failure),
});
console.log(JSON.stringify({ passed, failures, told }));

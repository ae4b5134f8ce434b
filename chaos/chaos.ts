/** Which suite: that of one server, or with `--cluster` that of several machines. */
await import(process.argv.includes("--cluster") ? "./cluster/main.ts" : "./main.ts");

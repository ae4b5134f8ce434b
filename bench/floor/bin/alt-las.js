/* Where `--checkout bench/floor` looks for a server. */
await import("../server.ts");

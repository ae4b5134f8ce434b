/** `alt-las store`: what is done to the place of the tasks. */
import { type Command, Option } from "commander";
import { configured } from "./configured.ts";
import type { Options } from "./context.ts";
import { dataDirOf, existingData } from "./data-dir.ts";

interface Io {
  readonly log: (text: string) => void;
  readonly error: (text: string) => void;
}

/** Kinds of databases, as the options have them. */
const KINDS = ["sqlite", "postgres"] as const;
export type DatabaseKind = (typeof KINDS)[number];

interface CopyFlags {
  readonly file?: string;
  readonly from: DatabaseKind;
  readonly to: DatabaseKind;
}

export function addStore(cli: Command, io: Io): void {
  const store = cli.command("store").description("the database of the tasks");
  configured(store.command("copy"))
    .description("copy all that is stored to the other kind of database; the server must be stopped")
    .addOption(new Option("--from <kind>", "what is copied").choices(KINDS).makeOptionMandatory())
    .addOption(new Option("--to <kind>", "where to; it must be empty").choices(KINDS).makeOptionMandatory())
    .option("--file <file>", "the SQLite file (default: alt-las.db in the data directory)")
    .action(async ({ config, file, from, to }: Options & CopyFlags, command: Command) => {
      const { loadConfig } = await import("../config/config.ts");
      const { storeCopy } = await import("./store-copy.ts");
      const place = { ...loadConfig(config).store, path: file, dataDir: existingData(dataDirOf(command)) };
      io.log(await storeCopy(place, { from, to }, io.error));
    });
}

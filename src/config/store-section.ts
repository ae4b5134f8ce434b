/** The section `store` of the configuration. */
import { Type } from "../common/type.ts";
import { CACHE_BYTES } from "../store/thread/messages.ts";
import { TEXTS } from "../texts.ts";
import { LONGEST_SECONDS, MIB, section } from "./section.ts";

export const STORE = section("Where tasks are kept: in a file, or on a PostgreSQL server; see docs/postgres.md.", {
  path: Type.Optional(
    Type.String({ minLength: 1, description: "Path of the SQLite file; null: alt-las.db in the data directory." }),
  ),
  cache_bytes: Type.Integer({
    default: CACHE_BYTES,
    minimum: MIB,
    description:
      "Bytes of the file that are kept in memory at most, so that tasks need not be read again when they end.",
  }),
  texts: Type.Enum([...TEXTS], {
    live: true,
    default: "keep",
    description:
      "How long prompts and answers are on disk. keep: as long as their tasks; until_read: until the answer was read; never: they are in memory only, and tasks that have not ended fail at a restart. See docs/privacy.md.",
  }),
  unread_seconds: Type.Number({
    live: true,
    default: 86_400,
    minimum: 1,
    maximum: LONGEST_SECONDS,
    description: "Seconds after a task's end for which its texts wait to be read, where texts is not keep.",
  }),
  url: Type.Optional(
    Type.String({
      pattern: "^postgres(ql)?://.",
      allowed: "an address like postgres://user:${file:/run/secrets/password}@host:5432/database",
      secret: true,
      description: "Address of a database on a PostgreSQL server, in the place of the file. It is not shown.",
    }),
  ),
  schema: Type.String({
    default: "alt_las",
    pattern: "^(?!pg_)[a-z_][a-z0-9_]{0,62}$",
    allowed: "a name of small letters, digits and _, which does not begin with pg_",
    description: "Schema of that database which has the tables, made when missing.",
  }),
});

/* The rows of files. */
import type { StoredFile } from "../files.ts";
import { type Columns, namesOf, placesOf, rowMaker, type Row } from "./columns.ts";

const FILE_COLUMNS = {
  id: ({ id }) => id,
  user: ({ user }) => user,
  purpose: ({ purpose }) => purpose,
  filename: ({ filename }) => filename,
  bytes: ({ bytes }) => bytes,
  sha256: ({ sha256 }) => sha256,
  created_at: ({ createdAt }) => createdAt,
  kept_from: ({ keptFrom }) => keptFrom,
  lifetime: ({ lifetime }) => lifetime,
  team: ({ team }) => team,
} as const satisfies Columns<StoredFile>;

export const FILE = namesOf(FILE_COLUMNS);
export const rowOfFile = rowMaker<StoredFile>(FILE_COLUMNS);
const IN_FILE = placesOf(FILE);

/** The file of a row of `FILE`. */
export function fileOf(row: Row): StoredFile {
  return {
    id: row[IN_FILE.id] as string,
    user: row[IN_FILE.user] as string,
    team: row[IN_FILE.team] as string | null,
    purpose: row[IN_FILE.purpose] as string,
    filename: row[IN_FILE.filename] as string,
    bytes: row[IN_FILE.bytes] as number,
    sha256: row[IN_FILE.sha256] as string,
    createdAt: row[IN_FILE.created_at] as number,
    keptFrom: row[IN_FILE.kept_from] as number,
    lifetime: row[IN_FILE.lifetime] as number | null,
  };
}

/* The statements of the bytes of files. */
import type { Row } from "../thread/columns.ts";
import type { BytesKind, Exchange } from "../thread/messages.ts";
import type { Answer } from "../thread/storage-thread.ts";
import type { Session } from "./session.ts";

const PUT = `
  INSERT INTO file_pieces (name, number, bytes) VALUES (:name, :place, :piece)
  ON CONFLICT (name, number) DO UPDATE SET bytes = excluded.bytes`;
const DROP = "DELETE FROM file_pieces WHERE name = :name";
const SIZE = "SELECT sum(octet_length(bytes))::bigint FROM file_pieces WHERE name = :name";
const PIECE = "SELECT bytes FROM file_pieces WHERE name = :name AND number = :place";
/** Each has a first piece, be it an empty one. */
const NAMES = "SELECT name FROM file_pieces WHERE number = 0 AND name > :after ORDER BY name LIMIT :limit";

/** Sessions for reading, and for writing in a transaction. */
export interface Sessions {
  read<T>(work: (session: Session) => Promise<T>): Promise<T>;
  change<T>(work: (session: Session) => Promise<T>): Promise<T>;
}

type Served = {
  readonly [K in BytesKind]: (at: Sessions, request: Exchange[K]["request"]) => Promise<Answer<K>>;
};

const SERVED: Served = {
  putPiece: (at, { name, place, piece }) => done(at, (session) => session.change(PUT, { name, place, piece })),
  dropBytes: (at, { name }) => done(at, (session) => session.change(DROP, { name })),
  nameBytes: (at, { from, to }) =>
    done(at, async (session) => {
      await session.change(DROP, { name: to });
      await session.change("UPDATE file_pieces SET name = :to WHERE name = :from", { from, to });
    }),
  bytesSize: async (at, { name }) => {
    const [row] = await rows(at, SIZE, { name });
    return { rows: [], value: row![0] as number | null };
  },
  piece: async (at, { name, place }) => {
    const [row] = await rows(at, PIECE, { name, place });
    return { rows: [], value: (row?.[0] ?? null) as unknown as Uint8Array | null };
  },
  bytesNames: async (at, { after, limit }) => ({ rows: await rows(at, NAMES, { after, limit }), value: null }),
};

export function isAboutBytes(kind: string): kind is BytesKind {
  return kind in SERVED;
}

export function serveBytes<K extends BytesKind>(
  at: Sessions,
  kind: K,
  request: Exchange[K]["request"],
): Promise<Answer<K>> {
  return SERVED[kind](at, request);
}

async function done(at: Sessions, work: (session: Session) => Promise<unknown>) {
  await at.change(work);
  return { rows: [], value: null };
}

function rows(at: Sessions, sql: string, values: Readonly<Record<string, string | number>>): Promise<Row[]> {
  return at.read((session) => session.rows(sql, values));
}

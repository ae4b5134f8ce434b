/* The statements of small files that each server needs that leads. */
import type { Session } from "./session.ts";

const PUT = `
  INSERT INTO shared_files (name, body) VALUES (:name, :body)
  ON CONFLICT (name) DO UPDATE SET body = excluded.body`;

export async function sharedFile(session: Session, name: string): Promise<string | null> {
  const [row] = await session.rows("SELECT body FROM shared_files WHERE name = :name", { name });
  return (row?.[0] ?? null) as string | null;
}

export async function sharedFiles(session: Session, prefix: string): Promise<[string, string][]> {
  const rows = await session.rows("SELECT name, body FROM shared_files WHERE starts_with(name, :prefix)", { prefix });
  return rows as unknown as [string, string][];
}

/** @param body null: it is to go */
export async function putSharedFile(session: Session, name: string, body: string | null): Promise<null> {
  if (body === null) await session.change("DELETE FROM shared_files WHERE name = :name", { name });
  else await session.change(PUT, { name, body });
  return null;
}

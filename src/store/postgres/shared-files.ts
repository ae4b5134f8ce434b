/* The statements of small files that each server needs that leads. */
import type { Session } from "./session.ts";

const PUT = `
  INSERT INTO shared_files (name, body) VALUES (:name, :body)
  ON CONFLICT (name) DO UPDATE SET body = excluded.body`;

export async function sharedFile(session: Session, name: string): Promise<string | null> {
  const [row] = await session.rows("SELECT body FROM shared_files WHERE name = :name", { name });
  return (row?.[0] ?? null) as string | null;
}

export async function putSharedFile(session: Session, name: string, body: string): Promise<null> {
  await session.change(PUT, { name, body });
  return null;
}

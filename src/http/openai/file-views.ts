/** Files as clients of OpenAI's API see them, and as they name them. */
import type { Caller } from "../../auth/credentials.ts";
import { AltLasError } from "../../errors.ts";
import { fileIdOf, shownFileId } from "../../files/ids.ts";
import type { FileInfo, FileSource } from "../../files/source.ts";
import { shown } from "../../common/validation.ts";
import { maySee } from "../access.ts";
import type { FileView } from "../schemas/files.ts";
import { secondsOf } from "./calls.ts";

export function viewOfFile({ id, bytes, createdAt, expiresAt, filename, purpose }: FileInfo): FileView {
  return {
    id: shownFileId(id),
    object: "file",
    bytes,
    created_at: secondsOf(createdAt),
    expires_at: expiresAt === null ? null : secondsOf(expiresAt),
    filename,
    purpose,
    status: "processed",
  };
}

/** A stranger's file looks like none, so that nobody learns which ids exist. @throws {AltLasError} `not_found` */
export async function fileNamed(
  files: Pick<FileSource, "find">,
  caller: Caller,
  given: string,
  param?: string,
): Promise<FileInfo> {
  const id = fileIdOf(given);
  const file = id === null ? null : await files.find(id);
  if (file !== null && maySee(caller, file)) return file;
  const sentence =
    id === null
      ? `There is no file ${shown(given)}; an id of one is file- and 32 hexadecimal digits.`
      : `There is no file ${shownFileId(id)}, or it belongs to somebody else.`;
  throw new AltLasError("not_found", sentence, { ...(param !== undefined && { param }) });
}

/** Files of OpenAI's API. */
import { hexOf } from "../../common/uuid.ts";
import { Type, type Static } from "../../common/type.ts";
import { closed, ID_EXAMPLE, oneOf, orNull, shared } from "./common.ts";
import { pageSchema } from "./openai-shared.ts";

/** The purposes that a client may upload a file for. Here they decide nothing but which files a list has. */
export const PURPOSES = ["batch", "user_data", "assistants", "fine-tune", "vision", "evals"] as const;

export const FILE_ID_EXAMPLE = `file-${hexOf(ID_EXAMPLE)}`;
/** Seconds: ten years, as the longest of the configuration. */
const LONGEST_LIFETIME = 315_360_000;
/** Files in one list. */
export const MOST_FILES = 1000;

export const FileView = Type.Object(
  {
    id: Type.String(),
    object: oneOf(["file"]),
    bytes: Type.Integer(),
    created_at: Type.Integer({ description: "Unix seconds." }),
    expires_at: orNull<number>("integer", {
      description: "Unix seconds; a file that a batch needs stays longer. null: it goes with its batch.",
    }),
    filename: Type.String(),
    purpose: Type.String(),
    status: oneOf(["processed"]),
  },
  {
    $id: "File",
    examples: [
      {
        id: FILE_ID_EXAMPLE,
        object: "file",
        bytes: 1234,
        created_at: 1_754_829_296,
        expires_at: 1_755_434_096,
        filename: "requests.jsonl",
        purpose: "batch",
        status: "processed",
      },
    ],
  },
);
export type FileView = Static<typeof FileView>;
export const FileRef = shared(FileView);

export const FilesAnswer = pageSchema(FileRef);

export const FileDeleted = Type.Object({ id: Type.String(), object: oneOf(["file"]), deleted: Type.Boolean() });

export const FileParams = Type.Object({ file_id: Type.String({ examples: [FILE_ID_EXAMPLE] }) });

export const FilesQuery = closed({
  after: Type.Optional(Type.String({ description: "Only files that come after this one." })),
  limit: Type.Integer({
    default: MOST_FILES,
    minimum: 1,
    maximum: 10_000,
    description: `Files to list; there are ${MOST_FILES} at most in one list.`,
  }),
  order: oneOf(["asc", "desc"], { default: "desc", description: "By the time of upload." }),
  purpose: Type.Optional(Type.String({ description: "Only files for this purpose." })),
});
export type FilesQuery = Static<typeof FilesQuery>;

/** The fields of an upload, beside the file. */
export const UploadFields = Type.Object({
  purpose: oneOf(PURPOSES, { description: "What it is for." }),
  expires_after: Type.Optional(
    closed({
      anchor: oneOf(["created_at"]),
      seconds: Type.Integer({
        minimum: 1,
        maximum: LONGEST_LIFETIME,
        description: "Seconds that it is kept; without it, as long as tasks are.",
      }),
    }),
  ),
});
export type UploadFields = Static<typeof UploadFields>;

/** As the document has it: a form with a part for each. */
export const UploadForm = Type.Object(
  { file: Type.String({ format: "binary" }), ...UploadFields.properties },
  { examples: [{ file: "", purpose: "batch" }] },
);

export const FileBytes = Type.String({ format: "binary", description: "The bytes as they were uploaded." });

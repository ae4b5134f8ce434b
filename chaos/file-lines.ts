/** What comes of the lines of batch files: each once, and each text whole. */
import { type Api, type User } from "./api.ts";
import { FATE, fullText } from "./kinds.ts";
import { type BatchFile, type FileLine } from "./ledger.ts";
import { type Report } from "./report.ts";

/** What the server says of a batch, as far as it is looked at. */
export interface FileBatchView {
  readonly id: string;
  readonly input_file_id: string;
  readonly status: string;
  readonly output_file_id?: string | null;
  readonly error_file_id?: string | null;
  /** Null: its file was never read to the end, so it has no lines. */
  readonly in_progress_at: number | null;
  readonly request_counts: { readonly total: number; readonly completed: number; readonly failed: number };
}

export interface LinesParts {
  readonly api: Api;
  readonly report: Report;
  readonly user: User;
}

/** What came of a line. */
interface LineResult {
  readonly custom_id: string;
  readonly response: { readonly status_code: number; readonly body: unknown } | null;
  readonly error: { readonly code: string } | null;
}

interface Lines {
  readonly output: readonly LineResult[];
  readonly errors: readonly LineResult[];
}

/** @returns null: the server died meanwhile */
export async function readLines(
  { api, report, user }: LinesParts,
  { id, output_file_id: output, error_file_id: errors }: FileBatchView,
): Promise<Lines | null> {
  const read = async (file: string | null | undefined): Promise<readonly LineResult[] | null> => {
    if (file === null || file === undefined) return [];
    const flow = await api.open(user, "GET", `/v1/files/${file}/content`);
    if (flow?.response.status !== 200) return flow === null || flow.response.status === 503 ? null : [];
    const text = await api.readText(flow, `the lines of batch ${id}`);
    report.check("lines", text === null || text === "" || text.endsWith("\n"), `a line of batch ${id} is cut`, text);
    return text === null ? null : parsed<LineResult>(text);
  };
  const both = { output: await read(output), errors: await read(errors) };
  return both.output === null || both.errors === null ? null : { output: both.output, errors: both.errors };
}

/** Lines that a batch has as soon as its file was read. */
export function linesOf({ lines }: BatchFile, { in_progress_at }: FileBatchView): number {
  return in_progress_at === null ? 0 : lines.length;
}

/** @param wanted lines that have to be there */
export async function checkLines(
  { report }: LinesParts,
  { id, lines }: BatchFile,
  { output, errors }: Lines,
  wanted: number,
): Promise<void> {
  const results = [...output, ...errors];
  const known = new Map(lines.map((line) => [line.customId, line]));
  const told = new Set(results.map(({ custom_id }) => custom_id));
  const isOnce = told.size === results.length && [...told].every((one) => known.has(one));
  report.check("lines", isOnce, `batch ${id} has lines twice, or those of others`, results);
  report.check("lines", told.size >= wanted, `batch ${id} lacks lines`, results);
  for (const { custom_id, response, error } of output) {
    const line = known.get(custom_id);
    if (line === undefined) continue;
    const isRight = response?.status_code === 200 && (error ?? null) === null && isGood(line);
    const text = isRight ? textIn(response.body) : null;
    report.check("lines", text === (await fullText(line.item)), `line ${custom_id} of batch ${id} is wrong`, {
      response,
      line,
    });
  }
}

function isGood({ model, item }: FileLine): boolean {
  return model === undefined && FATE[item.kind] === null;
}

/** Of a chat or a response. */
function textIn(body: unknown): string | null {
  const { choices, output } = body as {
    choices?: readonly { readonly message: { readonly content: string } }[];
    output?: readonly { readonly content: readonly { readonly text: string }[] }[];
  };
  return choices?.[0]?.message.content ?? output?.[0]?.content[0]?.text ?? null;
}

/** Lines of JSON. */
export function parsed<Line>(text: string): Line[] {
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}

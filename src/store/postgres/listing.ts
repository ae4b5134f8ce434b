/* Finds the tasks that match a filter, by indexes where there are some, else by scanning one window of tasks after another. */
import { TASK_STATUSES } from "../../task.ts";
import type { TaskFilter } from "../tasks.ts";
import { isOfBoth, type UNINDEXED, type Window } from "../thread/scans.ts";
import { arrayOf } from "./arrays.ts";
import type { Session } from "./session.ts";
import type { Values } from "./statements.ts";

/** `seq`s in one window. Between two of them other reads have their turn. */
const WINDOW = 10_000;
/** As the indexes of owners have it, and no other one (migrations/0006-lists-of-owners.sql). */
const STATUS_OF_OWNER = 'status COLLATE "POSIX"';
/** Of `bigint`. */
const HIGHEST = "9223372036854775807";

/** Numbers of clients may be larger than any column can have. */
const CONDITIONS = {
  taskType: "task_type = :taskType",
  gpuId: "gpu_id = :gpuId::double precision",
  model: "coalesce(ran_model, model) = :model",
  since: "created_at >= :since",
  until: "created_at < :until",
} as const satisfies Record<(typeof UNINDEXED)[number], string>;

/** A task that was found, and the bytes of its long texts. */
export type Found = readonly [seq: number, bytes: number];

export const BYTES = `(
  coalesce(octet_length(result_text), 0) + coalesce(octet_length(reasoning), 0) + coalesce(octet_length(beside), 0)
  + coalesce(octet_length(embeddings), 0) + coalesce(octet_length(logprobs), 0)
  + coalesce(octet_length(placement), 0) + octet_length(attempts))`;

/** One page, newest first; for a filter that needs no scan. Each part is read from its index only as far as the page goes. */
export async function page(session: Session, filter: TaskFilter): Promise<Found[]> {
  const below = filter.after === undefined ? HIGHEST : ":after::bigint";
  const most = ":limit::bigint + :offset::bigint";
  const found = newestOf(filter, below, most, unindexed(filter)).join(" UNION ALL ");
  // Fenced off by its OFFSET: whatever the planner expects of the limits, each task of the page is looked up alone.
  const sized = `
    SELECT seq, bytes FROM (SELECT seq FROM (${found}) AS found ORDER BY seq DESC LIMIT :limit::bigint OFFSET :offset::bigint) AS page
    CROSS JOIN LATERAL (SELECT ${BYTES} AS bytes FROM tasks WHERE tasks.seq = page.seq OFFSET 0) AS sized
    ORDER BY seq DESC`;
  return (await session.rows(sized, valuesOf(filter))) as unknown as Found[];
}

/** How many tasks of a batch match. */
export async function matchingOfBatch(session: Session, filter: TaskFilter): Promise<number> {
  const counted = `SELECT count(*) FROM (${select(filter, unindexed(filter))}) AS found`;
  return (await session.numbers(counted, valuesOf(filter)))[0] ?? 0;
}

/**
 * Scans the newest window of tasks below `below`.
 * @param filter with the `limit` and the `offset` that are left after the windows before
 */
export async function scan(
  session: Session,
  filter: TaskFilter,
  below: number,
): Promise<Window & { readonly found: Found[] }> {
  const { limit, offset, after = Number.POSITIVE_INFINITY } = filter;
  const values = { ...valuesOf(filter), below };
  const newest = newestOf(filter, ":below::bigint", "1", []);
  const [top = null] = (await session.numbers(
    `SELECT max(seq) FROM (${newest.join(" UNION ALL ")}) AS newest`,
    values,
  )) as (number | null)[];
  if (top === null) return { found: [], matched: 0, passed: 0, next: null };
  const from = top - WINDOW + 1;
  const found = select(filter, ["seq BETWEEN :from AND :top", ...unindexed(filter)]);
  const bounds = { ...values, from, top };
  const matching = await session.numbers(`${found} ORDER BY seq DESC`, bounds);
  const listed = matching.filter((seq) => seq < after);
  const wanted = limit === 0 ? [] : listed.slice(offset, offset + limit);
  return {
    found: wanted.length === 0 ? [] : await sizesOf(session, wanted),
    matched: matching.length,
    passed: limit === 0 ? 0 : Math.min(listed.length, offset),
    next: from,
  };
}

async function sizesOf(session: Session, seqs: readonly number[]): Promise<Found[]> {
  const sized = `SELECT seq, ${BYTES} FROM tasks WHERE seq = ANY(:seqs::bigint[]) ORDER BY seq DESC`;
  return (await session.rows(sized, { seqs: arrayOf(seqs) })) as unknown as Found[];
}

/** The `seq`s of the tasks that match these conditions and the indexed ones of a filter. */
function select(filter: TaskFilter, conditions: readonly string[]): string {
  return partsOf(filter, conditions).join(" UNION ALL ");
}

function partsOf(filter: TaskFilter, conditions: readonly string[]): string[] {
  return sources(filter).map((source) => selectOf([...equalTo(source), ...conditions]));
}

/**
 * The newest of each part, read from the end of its index. The last column before `seq` is a range of one value, and named in the order: else
 * an index of `seq` alone would have that order as well, which the planner would read from its end, in the hope of matching tasks, though
 * all of them may be old. An owner is equal to its value: where whole rows are compared PostgreSQL ends a scan only when the first column
 * differs, and would read all tasks of the owner for each status.
 * @param below higher than their `seq`s
 */
function newestOf(filter: TaskFilter, below: string, most: string, conditions: readonly string[]): string[] {
  return sources(filter).map((source) => {
    const last = source.at(-1);
    // The index of a batch is not sorted by `seq`, and has no more than the batch.
    if (filter.batchId !== undefined)
      return `(${selectOf([...equalTo(source), `seq < ${below}`, ...conditions])} ORDER BY seq + 0 DESC LIMIT ${most})`;
    if (last === undefined) return `(${selectOf([`seq < ${below}`, ...conditions])} ORDER BY seq DESC LIMIT ${most})`;
    const [column, value] = last;
    const range = [`(${column}, seq) < (${value}, ${below})`, `${column} >= ${value}`];
    const found = selectOf([...equalTo(source.slice(0, -1)), ...range, ...conditions]);
    return `(${found} ORDER BY ${column} DESC, seq DESC LIMIT ${most})`;
  });
}

function selectOf(conditions: readonly string[]): string {
  return `SELECT seq FROM tasks WHERE ${conditions.length === 0 ? "true" : conditions.join(" AND ")}`;
}

type Source = readonly (readonly [column: string, value: string])[];

function equalTo(source: Source): string[] {
  return source.map(([column, value]) => `${column} = ${value}`);
}

/** Values of columns, in parts that exclude each other. Without a batch each part is a range of an index, sorted by `seq`. */
function sources({ user, team, status, batchId }: TaskFilter): Source[] {
  const ofUser = user === undefined ? [] : [['"user"', ":user"] as const];
  const ofTeam = team === undefined ? [] : [["team", ":team"] as const];
  if (batchId !== undefined)
    return [
      [
        ["batch_id", ":batchId"],
        ...ofUser,
        ...ofTeam,
        ...(status === undefined ? [] : [["status", ":status"] as const]),
      ],
    ];
  const own = user === undefined ? ofTeam : ofUser;
  if (own.length === 0 && status === undefined) return [[]];
  // The index is sorted by user and status: one user's tasks are its five statuses merged.
  const statuses = status === undefined ? TASK_STATUSES.map((one) => `'${one}'`) : [":status"];
  const column = own.length === 0 ? "status" : STATUS_OF_OWNER;
  return statuses.map((one) => [...own, [column, one]]);
}

function unindexed(filter: TaskFilter): string[] {
  const conditions = Object.entries(CONDITIONS)
    .filter(([name]) => filter[name as keyof typeof CONDITIONS] !== undefined)
    .map(([, condition]) => condition);
  return isOfBoth(filter) ? [...conditions, "team = :team"] : conditions;
}

/** Numbers are within those of `bigint`. */
function valuesOf(filter: TaskFilter): Values {
  const { limit, offset, after, ...rest } = filter;
  return { ...rest, limit: whole(limit), offset: whole(offset), after: after === undefined ? undefined : whole(after) };
}

function whole(number: number): number {
  return Math.min(Math.ceil(number), Number.MAX_SAFE_INTEGER);
}

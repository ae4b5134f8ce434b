/* Finds the tasks that match a filter, by indexes where there are some, else by scanning one window of tasks after another. */
import { TASK_STATUSES } from "../../task.ts";
import type { TaskFilter } from "../tasks.ts";
import { isOfBoth, type UNINDEXED, type Window } from "../thread/scans.ts";
import { arrayOf } from "./arrays.ts";
import type { Session, Values } from "./session.ts";

/** `seq`s in one window. Between two of them other reads have their turn. */
const WINDOW = 10_000;

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
  const after = filter.after === undefined ? [] : ["seq < :after"];
  const found = parts(filter, [...unindexed(filter), ...after])
    .map((part) => `(${part} ORDER BY seq DESC LIMIT :limit::bigint + :offset::bigint)`)
    .join(" UNION ALL ");
  const sized = `
    SELECT seq, ${BYTES} FROM tasks
    WHERE seq IN (SELECT seq FROM (${found}) AS found ORDER BY seq DESC LIMIT :limit::bigint OFFSET :offset::bigint)
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
  const newest = parts(filter, ["seq < :below"]).map((part) => `(${part} ORDER BY seq DESC LIMIT 1)`);
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
  return parts(filter, conditions).join(" UNION ALL ");
}

function parts(filter: TaskFilter, conditions: readonly string[]): string[] {
  const rest = conditions.map((condition) => ` AND ${condition}`).join("");
  return sources(filter).map((source) => `SELECT seq FROM tasks WHERE ${source}${rest}`);
}

/** Parts that exclude each other. Without a batch each comes sorted by `seq` from an index, so that they are merged as they come. */
function sources({ user, team, status, batchId }: TaskFilter): string[] {
  if (batchId !== undefined) {
    const ofUser = `${user === undefined ? "" : ' AND "user" = :user'}${team === undefined ? "" : " AND team = :team"}`;
    const inStatus = status === undefined ? "" : " AND status = :status";
    return [`batch_id = :batchId${ofUser}${inStatus}`];
  }
  // The index is sorted by user and status: one user's tasks are its five statuses merged.
  const statuses = status === undefined ? TASK_STATUSES.map((one) => `'${one}'`) : [":status"];
  if (user !== undefined) return statuses.map((one) => `"user" = :user AND status = ${one}`);
  if (team !== undefined) return statuses.map((one) => `team = :team AND status = ${one}`);
  return [status === undefined ? "true" : "status = :status"];
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

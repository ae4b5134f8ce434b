/** Of submissions for vectors: which fields a client gave itself, where the check of the body fills in defaults. */

const DEFAULTED = ["max_length", "temperature", "task_type"] as const;
type Defaulted = (typeof DEFAULTED)[number];

/** Fields that bodies and items of batches had before they were checked; of those that want vectors. */
const givenIn = new WeakMap<object, readonly Defaulted[]>();

/** Notes what cannot be seen any more when a body, or the items of its batch, have been checked. */
export function noteGiven({ body }: { readonly body: unknown }, _reply: unknown, done: () => void): void {
  const { batch } = Object(body) as { readonly batch?: unknown };
  for (const one of Array.isArray(batch) ? batch : [body]) note(Object(one) as Readonly<Record<string, unknown>>);
  done();
}

/** As `noteGiven`, of a body that came by another way. @returns it */
export function noted(body: object): object {
  note(body as Readonly<Record<string, unknown>>);
  return body;
}

function note(fields: Readonly<Record<string, unknown>>): void {
  if (fields["input"] === undefined) return;
  // A field that is null counts as absent.
  const given = DEFAULTED.filter((name) => (fields[name] ?? null) !== null);
  if (given.length > 0) givenIn.set(fields, given);
}

/** @param fields a submission for vectors that `noteGiven` has seen */
export function wasGiven(fields: object, name: Defaulted): boolean {
  return givenIn.get(fields)?.includes(name) ?? false;
}

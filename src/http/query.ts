/** Numbers and booleans of a query string, which carries nothing but text. */

interface QueryShape {
  readonly properties?: Readonly<Record<string, { readonly type?: string }>>;
}

/**
 * The one form of each type: decimal, without a sign that says nothing, leading zeros, exponents or blanks. JavaScript also reads
 * "0x10", "1e2" and " 5", which no client means.
 */
const FORMS: ReadonlyMap<string | undefined, RegExp> = new Map([
  ["integer", /^(0|-?[1-9]\d*)$/],
  ["number", /^(0|-?[1-9]\d*|-?(0|[1-9]\d*)\.\d+)$/],
  ["boolean", /^(true|false)$/],
]);

/** Reads the values of a query into their types, in place. A value of another form stays text, which the schema then refuses. */
export function queryReader({ properties = {} }: QueryShape): (query: unknown) => unknown {
  const typed = Object.entries(properties).flatMap(([name, { type }]) => {
    const form = FORMS.get(type);
    return form === undefined ? [] : [{ name, form }];
  });
  return (query) => {
    const fields = query as Record<string, unknown>;
    for (const { name, form } of typed) {
      const text = fields[name];
      // Values of these forms are JSON, too.
      if (typeof text === "string" && form.test(text)) fields[name] = JSON.parse(text);
    }
    return query;
  };
}

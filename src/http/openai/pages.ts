/** Lists as OpenAI's API answers them, a page at a time. */

/** @param hasMore whether the list goes on behind these */
export function pageOf<View extends { readonly id: string }>(data: View[], hasMore: boolean) {
  return {
    object: "list" as const,
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}

/** What a server that stands by finds in its database, in tests without one. */
import type { EndedStore } from "../../src/http/standby/ended.ts";
import type { Store } from "../../src/store/store.ts";
import { isFinal } from "../../src/task.ts";
import { EVERYTHING } from "./store.ts";

/** Nothing. */
export const NOTHING_ENDED: EndedStore = {
  get: () => Promise.resolve(null),
  batch: () => Promise.resolve(null),
  endsOf: () => Promise.resolve([]),
  endsIn: () => Promise.resolve([]),
};

/** What has ended in another store than PostgreSQL. */
export function endedIn({ tasks }: Pick<Store, "tasks">): EndedStore {
  return {
    get: async (id) => {
      const task = await tasks.get(id);
      return task !== null && isFinal(task.status) ? task : null;
    },
    batch: async (id) => {
      const state = await tasks.batch(id);
      if (state === null || state.batch.finishedAt === null) return null;
      const { tasks: all } = await tasks.list({ ...EVERYTHING, batchId: id });
      return { ...state, keepsTexts: all.every(({ texts }) => texts === "keep") };
    },
    endsOf: (...asked) => tasks.endsOf(...asked),
    endsIn: (...asked) => tasks.endsIn(...asked),
  };
}

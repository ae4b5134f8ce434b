/* What is promised over HTTP of the life of tasks, of durability and of keys, with the tasks on PostgreSQL: the same tests as with a file. */
import * as nodeTest from "node:test";
import { usePostgres } from "../helpers/store-section.ts";

const why = await usePostgres(nodeTest);
if (why !== null) nodeTest.test("the HTTP tests on PostgreSQL", { skip: why });
else {
  // All at once: the server of all of them is gone when none is left to run.
  await Promise.all([
    import("../abandoned-tasks.test.ts"),
    import("../http-idempotency.test.ts"),
    import("../http-tasks-list.test.ts"),
    import("./durability.test.ts"),
    import("./e2e-life.test.ts"),
    import("./restart.test.ts"),
  ]);
}

import assert from "node:assert/strict";
import { test } from "node:test";
import { AltLasError } from "../src/errors.ts";
import {
  aBatch,
  aDelivery,
  AS,
  aTask,
  BATCH_ID,
  DONE,
  get,
  ID,
  OTHER_ID,
  post,
  postNothing,
  refusal,
  testServer,
} from "./helpers/http.ts";

const URL = "https://example.com/hook";

test("a submission may name whom to tell, and of what", async (t) => {
  const { app, tasks, webhooks } = testServer(t);
  const cases: [path: string, body: object, webhook: object][] = [
    ["/predict", {}, { url: URL, events: ["task.completed", "task.failed", "task.canceled"] }],
    ["/predict", { webhook_events: null }, { url: URL, events: ["task.completed", "task.failed", "task.canceled"] }],
    ["/predict", { webhook_events: ["task.running"] }, { url: URL, events: ["task.running"] }],
    ["/batch_predict", {}, { url: URL, events: ["batch.completed"] }],
    [
      "/batch_predict",
      { webhook_events: ["task.failed", "batch.completed"] },
      { url: URL, events: ["task.failed", "batch.completed"] },
    ],
  ];
  for (const [path, fields, webhook] of cases) {
    const input = path === "/predict" ? { text: "x" } : { batch: [{ text: "x" }] };
    assert.equal((await post(app, path, { ...input, webhook_url: URL, ...fields })).statusCode, 200);
    assert.deepEqual(tasks.submitted.at(-1)!.options.webhook, webhook);
  }
  assert.deepEqual(
    webhooks.checked,
    Array.from({ length: 5 }, () => URL),
  );
  await post(app, "/predict", { text: "x", webhook_url: null, webhook_events: null });
  assert.equal(tasks.submitted.at(-1)!.options.webhook, null);
  assert.equal(webhooks.checked.length, 5);
});

test("an address that nothing may be sent to is refused, and nothing is submitted", async (t) => {
  const { app, tasks, webhooks } = testServer(t);
  webhooks.failure = new AltLasError("invalid_input", "webhook_url leads to a private address.");
  for (const path of ["/predict", "/batch_predict"]) {
    const body = {
      ...(path === "/predict" ? { text: "x" } : { batch: [{ text: "x" }] }),
      webhook_url: "http://10.0.0.1",
    };
    const said = refusal(await post(app, path, body), 400, "invalid_input");
    assert.equal(said, "webhook_url leads to a private address.");
  }
  assert.deepEqual(tasks.submitted, []);
});

test("events that do not exist, come twice, or have nowhere to go are refused", async (t) => {
  const { app, tasks, webhooks } = testServer(t);
  const ofTasks = '"task.running", "task.completed", "task.failed", "task.canceled"';
  const cases: [fields: object, sentence: string | RegExp][] = [
    [{ webhook_events: ["task.failed"] }, "webhook_events needs webhook_url, which says where to send them."],
    [
      { webhook_url: URL, webhook_events: [] },
      `webhook_events must be a list of some of ${ofTasks}, each once; got a list of 0.`,
    ],
    [
      { webhook_url: URL, webhook_events: ["task.failed", "task.failed"] },
      /^webhook_events must be .* each once; got a list of 2\.$/,
    ],
    [
      { webhook_url: URL, webhook_events: Array.from({ length: 5 }, () => "x") },
      /^webhook_events must be .* a list of 5\.$/,
    ],
    [
      { webhook_url: URL, webhook_events: ["task.done"] },
      `webhook_events[0] must be one of ${ofTasks}; got "task.done".`,
    ],
    [{ webhook_url: URL, webhook_events: ["batch.completed"] }, /^webhook_events\[0\] must be one of "task\.running"/],
    [{ webhook_url: URL, webhook_events: "task.failed" }, /^webhook_events must be a list .*; got "task\.failed"\.$/],
    [{ webhook_url: 5 }, /^webhook_url must be a string that is not empty; got 5\.$/],
    [{ webhook_url: "" }, /^webhook_url must be a string that is not empty; got ""\.$/],
  ];
  for (const [fields, sentence] of cases) {
    const said = refusal(await post(app, "/predict", { text: "x", ...fields }), 400, "invalid_input");
    if (typeof sentence === "string") assert.equal(said, sentence);
    else assert.match(said, sentence);
  }
  assert.deepEqual([tasks.submitted, webhooks.checked], [[], []]);
});

test("each caller has a secret of its own, which it may change", async (t) => {
  const { app, webhooks } = testServer(t);
  const created_at = "2025-08-10T12:34:56.789Z";
  const shown = { secret: "whsec_c2VjcmV0", created_at, previous_until: null };
  assert.deepEqual((await get(app, "/webhook_secret")).json(), shown);
  webhooks.secret = { secret: null, createdAt: DONE, previousUntil: null };
  assert.equal((await get(app, "/webhook_secret", AS.admin)).json<{ secret: null }>().secret, null);
  webhooks.secret = { secret: "whsec_bmV1", createdAt: DONE, previousUntil: null };
  const rotated = await postNothing(app, "/webhook_secret");
  assert.equal(rotated.statusCode, 200);
  assert.equal(rotated.headers["cache-control"], "no-store");
  assert.deepEqual(rotated.json(), { secret: "whsec_bmV1", created_at, previous_until: "2025-08-10T12:34:57.789Z" });
  assert.deepEqual(webhooks.asked, ["secret of user", "secret of admin", "new secret of user"]);
  const sentence = "Having a webhook secret needs the role user or admin; viewer has the role viewer.";
  assert.equal(refusal(await get(app, "/webhook_secret", AS.viewer), 403, "forbidden"), sentence);
  assert.equal(refusal(await post(app, "/webhook_secret", {}, AS.viewer), 403, "forbidden"), sentence);
  assert.equal(webhooks.asked.length, 3);
});

test("only an admin reads what the system said of a webhook's receiver", async (t) => {
  const { app, tasks, webhooks } = testServer(t);
  tasks.tasks = [aTask()];
  const attempt = { at: DONE, status: null, error: "connect ECONNREFUSED 10.0.0.5:8000", duration: 12 };
  webhooks.deliveries = [aDelivery({ attempts: [attempt, { ...attempt, error: "gpubox-7 said no" }] })];
  const read = async (headers: Record<string, string>) =>
    (await get(app, `/task/${ID}/webhooks`, headers))
      .json<{ webhooks: { attempts: { error: string }[] }[] }>()
      .webhooks[0]!.attempts.map(({ error }) => error);
  for (const headers of [AS.user, AS.viewer]) {
    const outside = ["Its receiver could not be asked (ECONNREFUSED).", "Its receiver could not be asked."];
    assert.deepEqual(await read(headers), outside);
  }
  assert.deepEqual(await read(AS.admin), [attempt.error, "gpubox-7 said no"]);
});

test("the webhooks about a task or a batch are listed with each try", async (t) => {
  const { app, tasks, webhooks } = testServer(t);
  tasks.tasks = [aTask()];
  tasks.batches = [aBatch()];
  const answered = { at: DONE, status: 204, error: null, duration: 12 };
  webhooks.deliveries = [aDelivery(), aDelivery({ id: "msg_2", status: "delivered", attempts: [answered] })];
  const common = { event: "task.completed", url: URL, created_at: "2025-08-10T12:34:56.789Z" };
  const at = "2025-08-10T12:34:56.789Z";
  const listed = {
    webhooks: [
      {
        ...common,
        webhook_id: "msg_1",
        status: "pending",
        next_attempt_at: "2025-08-10T12:35:01.789Z",
        attempts: [{ at, status_code: null, error: "The connection was refused.", duration: 1.25 }],
      },
      {
        ...common,
        webhook_id: "msg_2",
        status: "delivered",
        next_attempt_at: null,
        attempts: [{ at, status_code: 204, error: null, duration: 0.012 }],
      },
    ],
  };
  for (const path of [`/task/${ID}/webhooks`, `/batch/${BATCH_ID}/webhooks`]) {
    assert.deepEqual((await get(app, path)).json(), listed);
    assert.deepEqual((await get(app, path, AS.viewer)).json(), listed);
    assert.deepEqual((await post(app, path, { webhook_id: "msg_2" })).json(), listed);
    assert.deepEqual((await postNothing(app, path)).json(), listed);
    refusal(await post(app, path, {}, AS.viewer), 403, "forbidden");
  }
  const asked = [ID, BATCH_ID].flatMap((id) => {
    const listing = `deliveries of ${id}`;
    return [listing, listing, `again ${id} msg_2`, `again ${id} null`];
  });
  assert.deepEqual(webhooks.asked, asked);
});

test("webhooks of a stranger's task are neither listed nor sent again", async (t) => {
  const { app, tasks, webhooks } = testServer(t);
  tasks.tasks = [aTask({ user: "somebody" })];
  for (const id of [ID, OTHER_ID]) {
    refusal(await get(app, `/task/${id}/webhooks`), 404, "not_found");
    refusal(await post(app, `/task/${id}/webhooks`, {}), 404, "not_found");
    refusal(await post(app, `/batch/${id}/webhooks`, {}), 404, "not_found");
  }
  assert.deepEqual(webhooks.asked, []);
});

test("a webhook that is not there cannot be sent again", async (t) => {
  const { app, tasks, webhooks } = testServer(t);
  tasks.tasks = [aTask()];
  webhooks.failure = new AltLasError("not_found", "There is no webhook msg_9 about it.");
  refusal(await post(app, `/task/${ID}/webhooks`, { webhook_id: "msg_9" }), 404, "not_found");
  const said = refusal(await post(app, `/task/${ID}/webhooks`, { webhook_id: 9 }), 400, "invalid_input");
  assert.equal(said, "webhook_id must be a string that is not empty; got 9.");
});

test("a submission to a paused endpoint is accepted, and says so", async (t) => {
  const { app, webhooks } = testServer(t);
  webhooks.warnings = ["Webhooks to https://example.com are paused."];
  for (const [path, body] of [
    ["/predict", { text: "x" }],
    ["/predict?dry_run=true", { text: "x" }],
    ["/batch_predict", { batch: [{ text: "x" }] }],
  ] as const) {
    const { statusCode, headers } = await post(app, path, { ...body, webhook_url: URL });
    assert.deepEqual([statusCode, headers["x-warning"]], [200, webhooks.warnings[0]], path);
    assert.equal((await post(app, path, body)).headers["x-warning"], undefined);
  }
});

test("endpoints that fail are listed for their users, and all of them for admins and viewers", async (t) => {
  const { app, webhooks } = testServer(t);
  const origin = "https://example.com";
  const times = { failing_since: "2025-08-10T12:34:56.789Z", paused_at: null };
  webhooks.failing = ["user", "bob"].map((user) => ({ user, origin, failingSince: DONE, pausedAt: null }));
  const both = ["user", "bob"].map((user) => ({ user, origin, ...times }));
  assert.deepEqual((await get(app, "/webhooks", AS.user)).json(), { endpoints: [both[0]] });
  assert.deepEqual((await get(app, "/webhooks?user=bob", AS.user)).json(), { endpoints: [] });
  for (const as of [AS.admin, AS.viewer]) {
    assert.deepEqual((await get(app, "/webhooks", as)).json(), { endpoints: both });
    assert.deepEqual((await get(app, "/webhooks?user=bob", as)).json(), { endpoints: [both[1]] });
  }
});

test("a user resumes its own endpoints, an admin those of others, and either leaves a row in the audit log", async (t) => {
  const { app, webhooks, audited } = testServer(t);
  const origin = "https://example.com";
  webhooks.failing = [{ user: "user", origin, failingSince: DONE, pausedAt: DONE }];
  const { endpoints } = (await post(app, "/webhooks/resume", { origin }, AS.user)).json();
  assert.deepEqual([endpoints.length, endpoints[0].paused_at], [1, "2025-08-10T12:34:56.789Z"]);
  assert.equal((await postNothing(app, "/webhooks/resume", AS.user)).statusCode, 200);
  assert.equal((await post(app, "/webhooks/resume", { user: "user" }, AS.admin)).statusCode, 200);
  const said = refusal(await post(app, "/webhooks/resume", { user: "bob" }, AS.user), 403, "forbidden");
  assert.equal(said, 'Resuming webhooks of "bob" needs the role admin; user has the role user.');
  refusal(await post(app, "/webhooks/resume", {}, AS.viewer), 403, "forbidden");
  refusal(await post(app, "/webhooks/resume", { origin: "" }, AS.user), 400, "invalid_input");
  assert.deepEqual(webhooks.asked, [
    `resume user ${origin} by user`,
    "resume user null by user",
    "resume user null by admin",
  ]);
  webhooks.failure = new AltLasError("not_found", "No endpoint fails.");
  refusal(await post(app, "/webhooks/resume", { origin }, AS.user), 404, "not_found");
  const rows = audited.map(({ action, user, target, outcome, details }) => [action, user, target, outcome, details]);
  assert.deepEqual(
    rows.filter(([action]) => action === "webhook.resume"),
    [
      ["webhook.resume", "user", "user", "ok", origin],
      ["webhook.resume", "user", "user", "ok", null],
      ["webhook.resume", "admin", "user", "ok", null],
      ["webhook.resume", "user", null, "forbidden", null],
      ["webhook.resume", "viewer", null, "forbidden", null],
      ["webhook.resume", "user", null, "invalid_input", null],
      ["webhook.resume", "user", "user", "not_found", origin],
    ],
  );
});

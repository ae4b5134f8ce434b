/** A wall clock that is set gives no webhook up and sends none early, and what is shown of its tries goes forward. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OVERLAP, Secrets } from "../src/webhooks/secrets.ts";
import { Receiver, status, TIMING, WebhookStore, World } from "./helpers/webhook-world.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

for (const step of [2 * DAY, -2 * DAY]) {
  test(`after a step by ${step / HOUR} h the next try comes when it was to come, and the day of tries goes on`, async (t) => {
    const world = new World(t, { timing: { ...TIMING, firstPause: HOUR, longestPause: HOUR } });
    const receiver = await Receiver.start(t);
    receiver.answers = [status(500), status(500), status(200)];
    world.webhooks.start();
    await world.happen("a", receiver.url());
    const failed = await world.store.tried("a", 1);
    assert.equal(failed.status, "pending");
    world.ahead += step;
    const pause = failed.nextAt - world.now;
    const [shown] = await world.webhooks.deliveriesOf("a");
    assert.equal(shown!.nextAt, world.now + step + pause);
    world.now += pause - 1;
    world.webhooks.wake();
    world.now += 1;
    world.webhooks.wake();
    const again = await world.store.tried("a", 2);
    assert.equal(again.status, "pending", "it is not given up");
    world.now = again.nextAt;
    world.webhooks.wake();
    await world.store.is("a", "delivered");
    const { createdAt, attempts } = world.store.of("a");
    const times = [createdAt, ...attempts.map(({ at }) => at)];
    assert.deepEqual(times, times.toSorted(), "what is shown goes forward");
    // Receivers refuse signatures that are minutes old: these follow the wall clock, whatever is shown.
    const signed = Number(receiver.received.at(-1)!.headers["webhook-timestamp"]);
    assert.equal(signed, Math.floor((world.now + world.ahead) / 1000));
    assert.equal(receiver.received.length, 3);
  });
}

test("the secret before signs for a day of the server's clock, and its end is shown by the wall clock", async () => {
  const clock = { now: 1_700_000_000_000, ahead: 0 };
  const secrets = new Secrets(
    new WebhookStore(),
    () => clock.now,
    () => clock.ahead,
  );
  await secrets.show("ada");
  await secrets.rotate("ada");
  clock.ahead = 2 * DAY;
  assert.equal((await secrets.signing("ada")).length, 2);
  assert.equal((await secrets.show("ada")).previousUntil, clock.now + OVERLAP + 2 * DAY);
  clock.ahead = -2 * DAY;
  clock.now += OVERLAP;
  assert.equal((await secrets.signing("ada")).length, 1);
});

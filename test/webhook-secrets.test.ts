/** Signatures, and the secrets they are made with. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OVERLAP, Secrets } from "../src/webhooks/secrets.ts";
import { newSecret, signedHeaders } from "../src/webhooks/signature.ts";
import { WebhookStore } from "./helpers/webhook-world.ts";

const SECRET = /^whsec_[A-Za-z0-9+/]{43}=$/;

function aWorld() {
  const clock = { now: 1_700_000_000_000 };
  const store = new WebhookStore();
  return { clock, store, secrets: new Secrets(store, () => clock.now) };
}

test("a signature is that of the reference libraries of Standard Webhooks", () => {
  const message = { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: 1_614_265_330, body: '{"test": 2432232314}' };
  assert.deepEqual(signedHeaders(message, ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]), {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  });
});

test("two secrets make two signatures, in their order", () => {
  const message = { id: "msg_1", timestamp: 1, body: "{}" };
  const [one, other] = [newSecret(), newSecret()];
  const signature = (secrets: string[]) => signedHeaders(message, secrets)["webhook-signature"];
  assert.notEqual(one, other);
  assert.equal(signature([one, other]), `${signature([one])} ${signature([other])}`);
});

test("a secret is shown once, and stored as shown before that", async () => {
  const { clock, store, secrets } = aWorld();
  const createdAt = clock.now;
  const first = await secrets.show("ada");
  assert.match(first.secret!, SECRET);
  assert.deepEqual(first, { secret: first.secret, createdAt, previousUntil: null });
  assert.equal(store.secrets.get("ada")?.shown, true);
  clock.now++;
  assert.deepEqual(await secrets.show("ada"), { secret: null, createdAt, previousUntil: null });
  assert.deepEqual(await secrets.signing("ada"), [first.secret]);
  assert.notEqual((await secrets.show("bob")).secret, first.secret);
});

test("a secret that signed before anybody asked for it is shown to the first who asks", async () => {
  const { secrets } = aWorld();
  const [used] = await secrets.signing("ada");
  assert.equal((await secrets.show("ada")).secret, used);
  assert.equal((await secrets.show("ada")).secret, null);
});

test("a secret that could not be stored is not shown", async () => {
  const { store, secrets } = aWorld();
  store.full = true;
  await assert.rejects(secrets.show("ada"), { code: "store_unavailable" });
  store.full = false;
  assert.match((await secrets.show("ada")).secret!, SECRET);
});

test("of requests at the same time one makes the secret and is shown it", async () => {
  const { secrets } = aWorld();
  const [signing, ...views] = await Promise.all([secrets.signing("ada"), secrets.show("ada"), secrets.show("ada")]);
  assert.deepEqual(
    views.map(({ secret }) => secret),
    [signing[0], null],
  );
  const [one, other] = await Promise.all([secrets.rotate("ada"), secrets.rotate("ada")]);
  assert.deepEqual(await secrets.signing("ada"), [other.secret, one.secret]);
});

test("after a rotation the secret before signs too for a day, and no older one", async () => {
  const { clock, secrets } = aWorld();
  const first = await secrets.show("ada");
  const second = await secrets.rotate("ada");
  assert.match(second.secret!, SECRET);
  assert.equal(second.previousUntil, clock.now + OVERLAP);
  assert.deepEqual(await secrets.signing("ada"), [second.secret, first.secret]);
  clock.now += OVERLAP - 1;
  assert.deepEqual(await secrets.signing("ada"), [second.secret, first.secret]);
  const third = await secrets.rotate("ada");
  assert.deepEqual(await secrets.signing("ada"), [third.secret, second.secret]);
  clock.now += OVERLAP;
  assert.deepEqual(await secrets.signing("ada"), [third.secret]);
  assert.deepEqual(await secrets.show("ada"), { secret: null, createdAt: third.createdAt, previousUntil: null });
});

test("the first secret may come from a rotation", async () => {
  const { secrets } = aWorld();
  const { secret, previousUntil } = await secrets.rotate("ada");
  assert.equal(previousUntil, null);
  assert.deepEqual(await secrets.signing("ada"), [secret]);
});

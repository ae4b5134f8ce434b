/** How webhooks reach their receivers, which are real servers here. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { VERSION } from "../src/common/version.ts";
import { type Lookup } from "../src/webhooks/address.ts";
import { lacks, newFolder, runProgram } from "./helpers/server.ts";
import { DAY, LATER, Receiver, type Received, silence, status, TIMING, World } from "./helpers/webhook-world.ts";

/** Whether one of its signatures was made with the secret; as a receiver would find out. */
function isSignedWith(secret: string, { headers, body }: Received): boolean {
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const content = `${String(headers["webhook-id"])}.${String(headers["webhook-timestamp"])}.${body}`;
  const expected = `v1,${createHmac("sha256", key).update(content).digest("base64")}`;
  return String(headers["webhook-signature"]).split(" ").includes(expected);
}

test("a webhook arrives signed, as JSON, and is delivered when the answer is 2xx", async (t) => {
  const world = new World(t);
  const receiver = await Receiver.start(t);
  world.webhooks.start();
  await world.happen("a", receiver.url());
  const { attempts } = await world.store.is("a", "delivered");
  assert.deepEqual(attempts, [{ at: world.now, status: 204, error: null, duration: attempts[0]!.duration }]);
  const [received] = receiver.received as [Received];
  const { host, "content-type": type, "user-agent": agent, connection } = received.headers;
  assert.deepEqual(
    { path: received.path, host, type, agent, connection },
    {
      path: "/hook?token=hidden",
      host: `127.0.0.1:${receiver.port}`,
      type: "application/json",
      agent: `ALT_LAS/${VERSION}`,
      connection: "close",
    },
  );
  assert.equal(received.headers["webhook-id"], "msg_a_task_completed");
  assert.equal(received.headers["webhook-timestamp"], "1700000000");
  assert.deepEqual(JSON.parse(received.body), {
    type: "task.completed",
    timestamp: "2023-11-14T22:13:20.500Z",
    data: { task_id: "a" },
  });
  const { secret } = await world.webhooks.secretOf("ada");
  assert.ok(isSignedWith(secret!, received));
});

test("after a rotation both secrets can verify, the new one first", async (t) => {
  const world = new World(t);
  const receiver = await Receiver.start(t);
  world.webhooks.start();
  const { secret: before } = await world.webhooks.secretOf("ada");
  const { secret: after } = await world.webhooks.rotateSecret("ada");
  await world.happen("a", receiver.url());
  await world.store.is("a", "delivered");
  world.now += DAY;
  await world.happen("b", receiver.url());
  await world.store.is("b", "delivered");
  const [both, one] = receiver.received as [Received, Received];
  assert.equal(String(both.headers["webhook-signature"]).split(" ").length, 2);
  assert.ok(isSignedWith(before!, both) && isSignedWith(after!, both));
  assert.ok(isSignedWith(after!, one) && !isSignedWith(before!, one));
});

test("what fails is tried again with the same body, a new time and a signature of that time", async (t) => {
  const world = new World(t);
  const receiver = await Receiver.start(t);
  const later = (code: number) => (response: Received["response"]) => {
    world.now += 60_000;
    status(code)(response);
  };
  receiver.answers = [later(500), later(404), status(200)];
  world.webhooks.start();
  await world.happen("a", receiver.url());
  const { attempts } = await world.store.is("a", "delivered");
  assert.deepEqual(
    attempts.map((attempt) => [attempt.status, attempt.error]),
    [500, 404, 200].map((code) => [code, null]),
  );
  const { received } = receiver;
  assert.equal(new Set(received.map(({ body }) => body)).size, 1);
  assert.equal(new Set(received.map(({ headers }) => headers["webhook-id"])).size, 1);
  assert.deepEqual(
    received.map(({ headers }) => Number(headers["webhook-timestamp"]) - 1_700_000_000),
    [0, 60, 120],
  );
  const { secret } = await world.webhooks.secretOf("ada");
  assert.ok(received.every((message) => isSignedWith(secret!, message)));
});

test("a receiver that does not answer in time is tried again", async (t) => {
  const world = new World(t, { timing: { ...TIMING, limit: 50 } });
  const receiver = await Receiver.start(t);
  receiver.answers = [silence];
  world.webhooks.start();
  await world.happen("a", receiver.url());
  const { attempts } = await world.store.tried("a", 2);
  assert.deepEqual(
    attempts.map((attempt) => [attempt.status, attempt.error]),
    attempts.map(() => [null, "The time for an answer was up."]),
  );
});

test("a receiver that is not there is tried again until it is", async (t) => {
  const world = new World(t);
  const gone = await Receiver.start(t);
  const { port } = gone;
  const url = gone.url();
  await gone.close();
  world.webhooks.start();
  await world.happen("a", url);
  const [refused] = (await world.store.tried("a", 1)).attempts;
  assert.equal(refused!.error, `connect ECONNREFUSED 127.0.0.1:${port}`);
  await Receiver.start(t, undefined, port);
  await world.store.is("a", "delivered");
});

/** What a server that writes these bytes and closes the connection is said to have done. */
async function errorAfter(t: TestContext, bytes: string): Promise<string | null> {
  const world = new World(t);
  const server = createServer((socket) => socket.once("data", () => socket.end(bytes))).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  world.webhooks.start();
  await world.happen("a", `http://127.0.0.1:${(server.address() as { port: number }).port}/`);
  const [attempt] = (await world.store.tried("a", 1)).attempts;
  await world.webhooks.stop();
  assert.equal(attempt!.status, null);
  return attempt!.error;
}

test("what is no answer is a failed try with a reason", async (t) => {
  assert.equal(await errorAfter(t, ""), "socket hang up");
  assert.match((await errorAfter(t, "SSH-2.0-OpenSSH_9.9\r\n"))!, /^Parse Error/);
  const upgrade = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
  assert.equal(await errorAfter(t, upgrade), "The connection was closed without an answer.");
});

test("a redirect is not followed and counts as a failure", async (t) => {
  const world = new World(t);
  const receiver = await Receiver.start(t);
  receiver.answers = [status(302, { location: "/elsewhere" }), status(307, { location: "/elsewhere" }), status(200)];
  world.webhooks.start();
  await world.happen("a", receiver.url());
  const { attempts } = await world.store.is("a", "delivered");
  const error = "It answered with a redirect, which is not followed.";
  assert.deepEqual(
    attempts.map((attempt) => [attempt.status, attempt.error]),
    [
      [302, error],
      [307, error],
      [200, null],
    ],
  );
  assert.deepEqual(
    receiver.received.map(({ path }) => path),
    Array(3).fill("/hook?token=hidden"),
  );
});

test("an answer without an end is cut after 64 KiB", async (t) => {
  const world = new World(t);
  const receiver = await Receiver.start(t);
  const piece = Buffer.alloc(16 * 1024, "x");
  receiver.answers = [
    (response) => {
      const more = (): void => {
        while (response.write(piece));
      };
      response.writeHead(200).on("drain", more);
      more();
    },
  ];
  world.webhooks.start();
  await world.happen("a", receiver.url());
  await world.store.is("a", "delivered");
  await receiver.until(() => receiver.open === 0);
});

test("the status decides, even if the rest of the answer does not come in time", async (t) => {
  const world = new World(t, { timing: { ...TIMING, limit: 50 } });
  const receiver = await Receiver.start(t);
  receiver.answers = [(response) => void response.writeHead(200).write("and")];
  world.webhooks.start();
  await world.happen("a", receiver.url());
  const { attempts } = await world.store.is("a", "delivered");
  assert.equal(attempts.length, 1);
});

/** Answers with addresses or error codes as it is told, from first to last, and notes who was asked for. */
function answering(...addresses: string[]): { asked: string[]; lookup: Lookup } {
  const asked: string[] = [];
  const lookup: Lookup = async (host) => {
    asked.push(host);
    const address = addresses.shift();
    if (address === undefined) throw new Error("asked once too often");
    if (address.startsWith("EAI_")) throw Object.assign(new Error("no address"), { code: address });
    return [{ address, family: 4 }];
  };
  return { asked, lookup };
}

test("a name that leads inside by the time of the delivery is not connected to", async (t) => {
  const names = answering("93.184.215.14", "127.0.0.1", "127.0.0.1");
  const world = new World(t, { allowPrivate: false, lookup: names.lookup, timing: LATER });
  const receiver = await Receiver.start(t);
  const url = receiver.url("rebind.test");
  await world.webhooks.check(url, "ada");
  world.webhooks.start();
  await world.happen("a", url);
  const { status: state, attempts } = await world.store.tried("a", 1);
  assert.equal(state, "pending");
  assert.equal(attempts[0]!.status, null);
  assert.match(attempts[0]!.error!, /^webhook_url must not lead to a private.*; rebind\.test does, or does not exist /);
  await assert.rejects(world.webhooks.check(url, "ada"), { code: "invalid_input" });
  assert.equal(receiver.connections, 0);
});

test("the connection goes to the address that was checked, without asking for the name again", async (t) => {
  const names = answering("127.0.0.1");
  const world = new World(t, { lookup: names.lookup });
  const receiver = await Receiver.start(t);
  world.webhooks.start();
  await world.happen("a", receiver.url("rebind.test"));
  const { attempts } = await world.store.is("a", "delivered");
  assert.equal(attempts.length, 1);
  assert.deepEqual(names.asked, ["rebind.test"]);
  assert.equal(receiver.received[0]!.headers.host, `rebind.test:${receiver.port}`);
});

test("of several addresses that were checked, one that answers is enough", async (t) => {
  const addresses = ["127.0.0.2", "127.0.0.1"].map((address) => ({ address, family: 4 }));
  const world = new World(t, { lookup: async () => addresses });
  const receiver = await Receiver.start(t);
  world.webhooks.start();
  await world.happen("a", receiver.url("two.test"));
  assert.equal((await world.store.is("a", "delivered")).attempts.length, 1);
});

test("a name that cannot be looked up for now is accepted, and tried again", async (t) => {
  const lookup = answering("EAI_AGAIN", "EAI_AGAIN").lookup;
  const world = new World(t, { lookup, timing: LATER });
  await world.webhooks.check("https://hooks.test/", "ada");
  world.webhooks.start();
  await world.happen("a", "https://hooks.test/");
  const { attempts } = await world.store.tried("a", 1);
  assert.equal(attempts[0]!.error, "The name servers do not answer for hooks.test.");
});

test("over HTTPS the certificate must be good for the host of the URL, whose name is asked for", async (t) => {
  const none = await lacks(runProgram("openssl", ["version"]), "openssl");
  if (none) return t.skip(none);
  const cwd = newFolder(t);
  const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=hooks.test";
  const files = "-addext subjectAltName=DNS:hooks.test -keyout key.pem -out cert.pem";
  const { code, stderr } = await runProgram("openssl", `${request} ${files}`.split(" "), { cwd });
  assert.equal(code, 0, stderr);
  const [cert, key] = [readFileSync(join(cwd, "cert.pem")), readFileSync(join(cwd, "key.pem"))];
  const world = new World(t, { timing: LATER });
  const receiver = await Receiver.start(t, { cert, key });
  world.webhooks.start();
  await world.happen("unknown", receiver.url("hooks.test"));
  assert.match((await world.store.tried("unknown", 1)).attempts[0]!.error!, /^self-signed certificate/);

  const usual = getCACertificates("default");
  t.after(() => setDefaultCACertificates(usual));
  setDefaultCACertificates([...usual, cert.toString()]);
  await world.happen("good", receiver.url("hooks.test"));
  await world.happen("other", receiver.url("other.test"));
  await world.store.is("good", "delivered");
  const [attempt] = (await world.store.tried("other", 1)).attempts;
  assert.match(attempt!.error!, /altnames: Host: other\.test\. is not in the cert's altnames/);
  assert.deepEqual(
    receiver.received.map(({ serverName, headers }) => [serverName, headers.host]),
    [["hooks.test", `hooks.test:${receiver.port}`]],
  );
});

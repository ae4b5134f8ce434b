"""The client against a real server, ALT_LAS_URL with ALT_LAS_API_KEY, and against others; test/wide/own-clients-python.test.ts runs it."""

import asyncio
import base64
import json
import os
import threading
import time
import unittest
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from alt_las import AltLas, AltLasError, AsyncAltLas, TaskError, verify_webhook
from alt_las.patience import Patience

URL, KEY = os.environ["ALT_LAS_URL"], os.environ["ALT_LAS_API_KEY"]
#: Ways to the same server, on each of which the first answer gets lost.
LOSSY_URLS = iter(json.loads(os.environ["LOSSY_URLS"]))
#: A webhook that the server has sent: headers, body and secret.
WEBHOOK = json.loads(os.environ["WEBHOOK"])
#: Longer than any test.
ENDLESS = {"text": "On and on", "max_length": 100_000}


@contextmanager
def stand_in(*answers):
    """A server that gives these answers, the last one for ever; yields its address, and the requests as they come.

    A body that is a function writes to the file that it gets.
    """
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            asked.append((time.monotonic(), self.path, dict(self.headers)))
            if callable(answers[0]):
                status, headers, body = answers[0](self.path)
            else:
                status, headers, body = answers[min(len(asked), len(answers)) - 1]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if callable(body):
                self.end_headers()
                body(self.wfile)
                return
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PATCH = answer

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


class Synchronous(unittest.TestCase):
    def setUp(self):
        self.client = self.at(URL)

    def at(self, url, key=KEY, **options):
        client = AltLas(key, url, **options)
        self.addCleanup(client.close)
        return client

    def refused(self, code, call, *args, **fields):
        with self.assertRaises(AltLasError) as caught:
            call(*args, **fields)
        self.assertEqual(caught.exception.code, code)
        return caught.exception

    def test_a_task_and_its_stream(self):
        task = self.client.predict_and_wait(text="Once", max_length=5)
        self.assertEqual((task["status"], task["result"]["usage"]["completion_tokens"]), ("completed", 5))
        self.assertEqual(self.client.task(task["task_id"])["result"], task["result"])
        events = list(self.client.stream(text="Once", max_length=5))
        self.assertEqual((events[0]["type"], events[-1]["type"]), ("placed", "completed"))
        said = "".join(event["text"] for event in events if event["type"] == "token")
        self.assertEqual(said, events[-1]["task"]["result"]["text"])
        self.assertEqual(list(self.client.tasks(limit=1)["tasks"]), [events[-1]["task"]["task_id"]])

    def test_reading_on_behind_an_event(self):
        task_id = self.client.predict(text="Once", max_length=20)["task_id"]
        events = self.client.follow(task_id)
        first = [next(events) for _ in range(4)]
        events.close()
        rest = list(self.client.follow(task_id, last_event_id=first[-1]["id"]))
        said = "".join(event["text"] for event in first + rest if event["type"] == "token")
        self.assertEqual(said, rest[-1]["task"]["result"]["text"])
        self.assertEqual(list(self.client.follow(task_id, last_event_id=rest[-1]["id"])), [])

    def test_a_batch(self):
        told = []
        batch = [{"text": "One", "max_length": 30}, "Two", {"input": "Three"}]
        results = self.client.batch(
            batch=batch, max_length=2, on_progress=lambda progress: told.append((progress["done"], progress["total"]))
        )
        tokens = [(task["index"], task["result"]["usage"]["completion_tokens"]) for task in results]
        self.assertEqual(tokens, [(0, 30), (1, 2), (2, 0)])
        self.assertEqual(told, [(1, 3), (2, 3), (3, 3)])

    def test_canceling_a_batch(self):
        batch_id = self.client.submit_batch(batch=["Short", ENDLESS], max_length=1)["batch_id"]
        told = []
        for task in self.client.results(batch_id):
            told.append((task["index"], task["status"]))
            if len(told) == 1:
                self.client.cancel_batch(batch_id)
        self.assertEqual(told, [(0, "completed"), (1, "canceled")])
        other = self.client.submit_batch(batch=[ENDLESS])["batch_id"]
        self.assertEqual(self.client.cancel_batch(other)["status"], "canceled")
        self.assertEqual(self.client.cancel_batch(other)["status"], "canceled")

    def test_canceling_a_task(self):
        task_id = self.client.predict(**ENDLESS)["task_id"]
        with self.assertRaises(TimeoutError):
            self.client.wait(task_id, timeout=0.2)
        self.assertEqual(self.client.cancel(task_id)["status"], "canceled")
        self.assertEqual(self.client.cancel(task_id)["status"], "canceled")
        key = f"endless-{time.time()}"
        thread = threading.Thread(
            target=lambda: self.client.cancel(self.client.predict(idempotency_key=key, **ENDLESS)["task_id"])
        )
        thread.start()
        with self.assertRaises(TaskError) as caught:
            self.client.predict_and_wait(idempotency_key=key, **ENDLESS)
        thread.join()
        self.assertEqual((caught.exception.code, caught.exception.task["status"]), ("canceled", "canceled"))
        ended = self.client.predict_and_wait(text="Once", max_length=1)
        self.assertEqual(self.refused("conflict", self.client.cancel, ended["task_id"]).conflict_status, "completed")

    def test_the_server(self):
        self.assertEqual(len(self.client.models()), 1)
        self.assertEqual([gpu["status"] for gpu in self.client.gpus()], ["ready"])
        self.assertRegex(self.client.version(), r"^\d+\.\d+\.\d+")
        self.assertEqual(self.client.request("GET", "/me")["user"], "admin")
        task_id = self.client.predict(text="Once", max_length=1)["task_id"]
        self.assertIn("?ticket=", self.client.events_url(task_id))

    def test_refusals(self):
        error = self.refused("invalid_input", self.client.predict, text="")
        self.assertEqual(error.status, 400)
        self.assertRegex(str(error), "^text ")
        self.assertTrue(error.request_id)
        self.assertEqual(self.refused("unauthorized", self.at(URL, "wrong").models).status, 401)
        self.assertIn('"a/../b"', str(self.refused("not_found", self.client.task, "a/../b")))
        with self.assertRaisesRegex(ValueError, "http:// or https://.*'localhost:8642'"):
            AltLas(KEY, "localhost:8642")

    def test_a_lost_answer_makes_no_second_task(self):
        before = self.client.tasks()["total"]
        task_id = self.at(next(LOSSY_URLS)).predict(text="Once", max_length=1)["task_id"]
        self.assertEqual(self.client.tasks()["total"], before + 1)
        self.assertEqual(self.client.wait(task_id)["status"], "completed")

    def test_other_routes_do_nothing_twice(self):
        before = self.client.tasks()["total"]
        task_id = self.at(next(LOSSY_URLS)).request("POST", "/predict", {"text": "Once", "max_length": 1})["task_id"]
        self.client.wait(task_id)
        self.at(next(LOSSY_URLS)).request("post", f"/task/{task_id}/retry")
        self.assertEqual(self.client.tasks()["total"], before + 2)
        full = (503, {"retry-after": "0"}, '{"error":"Full.","code":"queue_full"}')
        with stand_in(full, (502, {}, "Bad gateway")) as (url, asked):
            self.refused("not_alt_las", self.at(url).request, "PATCH", "/config", {})
        self.assertEqual(len(asked), 2)

    def test_a_lost_try_canceled_a_batch(self):
        batch_id = self.client.submit_batch(batch=["Short", ENDLESS], max_length=1)["batch_id"]
        next(self.client.results(batch_id))
        self.assertTrue(self.at(next(LOSSY_URLS)).cancel_batch(batch_id)["finished_at"])

    def test_a_timeout_holds_while_the_server_is_away(self):
        with stand_in() as (url, _):
            pass
        for call in (lambda gone: gone.wait("x", timeout=0.4), lambda gone: gone.predict_and_wait(text="x", timeout=0.4)):
            began = time.monotonic()
            with self.assertRaisesRegex(TimeoutError, "within 0.4 seconds"):
                call(self.at(url))
            self.assertGreaterEqual(time.monotonic() - began, 0.4)

    def test_a_request_that_cannot_be_made(self):
        with self.assertRaisesRegex(ValueError, "api_key must be printable ASCII"):
            self.at(URL, "altlas_XnvB…")
        with self.assertRaisesRegex(ValueError, "idempotency_key must be"):
            self.client.predict(text="Once", idempotency_key="a\n")
        self.assertEqual(self.at(URL, KEY + "\n", idle_seconds=float("inf")).request("GET", "/me")["user"], "admin")
        self.assertIn("sends text/csv", str(self.refused("not_alt_las", self.client.request, "GET", "/usage?format=csv")))

    def test_all_of_the_time_is_waited_for(self):
        now = [0.0]
        patience = Patience(60, lambda: now[0])
        full = AltLasError("queue_full", "Full.", retry_after=60, is_temporary=True)
        self.assertGreaterEqual(patience.pause(full), 60)
        now[0] += 60.1
        with self.assertRaises(AltLasError):
            patience.pause(full)

    def test_retry_after_and_the_same_key(self):
        full = (503, {"retry-after": "1"}, '{"error":"Full.","code":"queue_full"}')
        taken = (200, {}, '{"task_id":"x","gpu_id":0,"status":"running"}')
        with stand_in(full, taken) as (url, asked):
            self.assertEqual(self.at(url).predict(text="Once")["task_id"], "x")
        (first, _, one), (second, _, other) = asked
        self.assertGreaterEqual(second - first, 1)
        self.assertTrue(one["idempotency-key"])
        self.assertEqual(one["idempotency-key"], other["idempotency-key"])

    def test_a_wait_that_is_too_long_ends_at_once(self):
        later = (429, {"retry-after": "40000"}, '{"error":"It resets tomorrow.","code":"budget_exceeded"}')
        with stand_in(later) as (url, asked):
            error = self.refused("budget_exceeded", self.at(url).predict, text="Once")
        self.assertEqual((error.retry_after, str(error), len(asked)), (40000, "It resets tomorrow.", 1))

    def test_a_connection_that_lasted_has_worked(self):
        now = [0.0]
        patience = Patience(60, lambda: now[0])
        cut = AltLasError("no_connection", "Cut.", is_temporary=True)
        for _ in range(3):
            patience.opened()
            now[0] += 3600
            patience.pause(cut)
        for _ in range(2):
            patience.opened()
            now[0] += 1
            patience.pause(cut)
        now[0] += 60
        with self.assertRaises(AltLasError):
            patience.pause(cut)

    def test_a_quiet_stream_is_opened_again(self):
        over = threading.Event()
        state = 200, {}, '{"size":1,"finished_at":null}'
        quiet = 200, {}, lambda _: over.wait()
        line = 200, {}, '{"index":0,"task_id":"x"}\n'
        with stand_in(state, quiet, state, line) as (url, asked):
            hasty = self.at(url, retry_seconds=0, idle_seconds=2)
            self.assertEqual([task["index"] for task in hasty.results("x")], [0])
            over.set()
        self.assertEqual(len(asked), 4)

    def test_others_than_the_server(self):
        with stand_in((200, {}, "<html>hello</html>")) as (url, _):
            self.refused("not_alt_las", self.at(url).models)
        self.assertRegex(str(self.refused("no_connection", self.at(url, retry_seconds=0).models)), url)
        with stand_in((502, {}, "Bad gateway")) as (url, _):
            self.assertTrue(self.refused("not_alt_las", self.at(url, retry_seconds=0).models).is_temporary)

    def test_an_older_server(self):
        def answer(path):
            if path == "/healthz":
                return 200, {}, '{"status":"ready","version":"0.1.0"}'
            return 404, {}, '{"error":"There is no route POST /api/v1/stream_ticket.","code":"not_found"}'

        with stand_in(answer) as (url, _):
            error = self.refused("server_too_old", self.at(url).events_url, "x")
        self.assertEqual(str(error), f"This client needs ALT_LAS 0.2.0 or later; the server at {url} is 0.1.0.")
        self.refused("not_found", self.client.task, "01a22330-4088-769d-9ec1-fce78527e2e1")

    def test_webhooks(self):
        secret, headers, body = WEBHOOK["secret"], WEBHOOK["headers"], WEBHOOK["body"]
        self.assertEqual(verify_webhook(secret, headers, body)["type"], "task.completed")
        other = "whsec_" + base64.b64encode(b"1" * 32).decode()
        verify_webhook([other, secret], {name.title(): value for name, value in headers.items()}, body.encode())
        self.refused("bad_signature", verify_webhook, secret, headers, body + " ")
        self.refused("bad_signature", verify_webhook, other, headers, body)
        self.refused("bad_signature", verify_webhook, secret, headers, body, now=time.time() + 400)
        self.refused("bad_signature", verify_webhook, secret, {**headers, "webhook-id": "msg_other"}, body)
        self.refused("bad_signature", verify_webhook, secret, {**headers, "webhook-signature": "v1,é"}, body)
        self.refused("bad_signature", verify_webhook, secret, {}, body)
        for timestamp in ("9" * 5000, "²", "1\n"):
            self.refused("bad_signature", verify_webhook, secret, {**headers, "webhook-timestamp": timestamp}, body)
        with self.assertRaisesRegex(ValueError, "begins with whsec_"):
            verify_webhook("secret", headers, body)


class Asynchronous(unittest.IsolatedAsyncioTestCase):
    """It is made of the same source: what waiting changes is looked at here."""

    async def test_tasks_at_once(self):
        async with AsyncAltLas(KEY, URL) as client:
            tasks = await asyncio.gather(*(client.predict_and_wait(text="Once", max_length=3) for _ in range(8)))
            self.assertEqual({task["status"] for task in tasks}, {"completed"})
            events = [event async for event in client.stream(text="Once", max_length=5)]
            self.assertEqual(events[-1]["type"], "completed")
            results = await client.batch(batch=["One", "Two"], max_length=2)
            self.assertEqual([task["index"] for task in results], [0, 1])

    async def test_a_canceled_wait_leaves_the_task(self):
        async with AsyncAltLas(KEY, URL) as client:
            task_id = (await client.predict(**ENDLESS))["task_id"]
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(client.wait(task_id), 0.2)
            self.assertIn((await client.task(task_id))["status"], ("queued", "running"))
            self.assertEqual((await client.cancel(task_id))["status"], "canceled")


if __name__ == "__main__":
    unittest.main()

"""A stream, a wait and a batch of the client in clients/python; test/wide/own-clients-restarts.test.ts kills the server meanwhile."""

import asyncio
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from alt_las import AltLas, AsyncAltLas

KIND, WORDS, ITEMS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
URL, KEY = os.environ["ALT_LAS_URL"], os.environ["ALT_LAS_API_KEY"]
BATCH = [{"text": "Item", "max_length": 1 if index == 3 else WORDS} for index in range(ITEMS)]


class Story:
    def __init__(self):
        self.found = {"streamed": "", "attempts": 0, "ids": [], "progress": []}
        self.begun = threading.Event()
        self.halfway = threading.Event()
        self.told = threading.Lock()

    def hears(self, event):
        found = self.found
        found["ids"].append(event["id"])
        if event["type"] == "placed":
            found.update(streamed="", attempts=event["attempt"])
        elif event["type"] == "token":
            found["streamed"] += event["text"]
        else:
            found["streamedTask"] = event["task"]["task_id"]
        if len(found["streamed"]) > 20:
            self.reached(self.begun)

    def progressed(self, progress):
        self.found["progress"].append(progress["done"] / progress["total"])
        self.reached(self.halfway)

    def reached(self, part):
        with self.told:
            is_new = not part.is_set()
            part.set()
            if is_new and self.begun.is_set() and self.halfway.is_set():
                say("under way")

    def waited(self, task):
        self.found.update(waitedTask=task["task_id"], waited=task["result"]["text"])

    def have(self, results):
        self.found["results"] = [task["task_id"] for task in results]


def say(what):
    print(json.dumps(what), flush=True)


def run_sync(story):
    client = AltLas(KEY, URL)

    def stream():
        for event in client.stream(text="Stream", max_length=WORDS):
            story.hears(event)

    def wait():
        story.waited(client.predict_and_wait(text="Wait", max_length=WORDS))

    def batch():
        story.have(client.batch(batch=BATCH, on_progress=story.progressed))

    with ThreadPoolExecutor() as pool:
        for part in [pool.submit(work) for work in (stream, wait, batch)]:
            part.result()


async def run_async(story):
    async with AsyncAltLas(KEY, URL) as client:

        async def stream():
            async for event in client.stream(text="Stream", max_length=WORDS):
                story.hears(event)

        async def wait():
            story.waited(await client.predict_and_wait(text="Wait", max_length=WORDS))

        async def batch():
            story.have(await client.batch(batch=BATCH, on_progress=story.progressed))

        await asyncio.gather(stream(), wait(), batch())


story = Story()
if KIND == "sync":
    run_sync(story)
else:
    asyncio.run(run_async(story))
say(story.found)

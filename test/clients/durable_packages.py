"""The packages openai and litellm for Python: files and batches; then as durable.mjs."""

import json

import batches_litellm
import batches_openai
from batches_openai import begun, chat_of, CHATS, client_of, lines_of, results_of

from steps import *
from stories import *

LINES = 400

report({**batches_openai.steps, **batches_litellm.steps})
heard()
before = client_of(BASE_URL)
bodies = {f"line-{n}": chat_of(f"Line {n}") for n in range(LINES)}
batch_id = begun(before, lines_of(bodies, CHATS), CHATS, metadata={"of": "Python"}).id
asked = {"model": SLOW_MODEL, "input": "Tell me a long story", "max_output_tokens": 400, "temperature": 0}
events = read_pieces(before.responses.create(**asked, background=True, stream=True), 5)
until(lambda: before.batches.retrieve(batch_id), lambda batch: batch.request_counts.completed >= 5)
print("under way", flush=True)
after = client_of(heard())
id, last = events[0].response.id, events[-1].sequence_number
read_pieces(after.responses.retrieve(id, stream=True, starting_after=last), -1, events)
again = story_of(read_pieces(after.responses.retrieve(id, stream=True), -1))["texts"]
batch = until(lambda: after.batches.retrieve(batch_id))
counts = batch.request_counts.model_dump()
results = {"id": batch_id, "status": batch.status, "counts": counts, "results": results_of(after, batch)}
print(json.dumps({"id": id, **story_of(events), "again": again, "batch": results}), flush=True)

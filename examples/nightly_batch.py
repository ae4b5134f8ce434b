"""A batch of OpenAI's API that runs at night: a file of requests goes in, a file of answers comes out.

    pip install openai
    ALT_LAS_API_KEY=altlas_... python3 examples/nightly_batch.py requests.jsonl answers.jsonl

As a line of crontab, at 2 o'clock each night:

    0 2 * * * cd /srv/nightly && python3 nightly_batch.py requests.jsonl answers.jsonl >> nightly.log 2>&1

`answers.jsonl.batch` has the id of the uploaded file, and then that of the batch, until the answers are there: started again after it was
killed, or after a night in which the machine was off, the program goes on with them. ALT_LAS_URL says where the server is (default:
http://127.0.0.1:8642).
"""

import os
import sys
import time
from pathlib import Path

from openai import APIConnectionError, OpenAI

URL = os.environ.get("ALT_LAS_URL", "http://127.0.0.1:8642") + "/v1"
PAUSE = float(os.environ.get("PAUSE_SECONDS", "30"))
"""Seconds between two looks at the batch."""


def main(source, target):
    client = OpenAI(base_url=URL, api_key=os.environ["ALT_LAS_API_KEY"], max_retries=10)
    note = Path(f"{target}.batch")
    if not note.exists():
        with open(source, "rb") as file:
            write(note, client.files.create(file=file, purpose="batch").id)
    if not note.read_text().startswith("batch_"):
        write(note, begin(client, note.read_text()))
    batch = wait(client, note.read_text())
    print(f"{batch.id} is {batch.status}: {batch.request_counts.completed} of {batch.request_counts.total} answered.")
    for file_id, path in ((batch.output_file_id, target), (batch.error_file_id, f"{target}.errors")):
        if file_id is not None:
            Path(path).write_bytes(client.files.content(file_id).content)
    note.unlink()
    return 0 if batch.status == "completed" and batch.request_counts.failed == 0 else 1


def write(note, text):
    """Whole or not at all: this program may be killed at any time."""
    new = note.with_name(note.name + ".new")
    new.write_text(text)
    new.replace(note)


def begin(client, file_id):
    """The batch of a file: the one that is there already, when the answer to its making was lost, or a new one."""
    while True:
        try:
            for batch in client.batches.list():
                if batch.input_file_id == file_id:
                    return batch.id
            # Tried again at once, it could make a second one: the list has to be read before.
            made = client.with_options(max_retries=0).batches.create(
                input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            return made.id
        except APIConnectionError:
            print("The server does not answer; it may be starting again.", flush=True)
        time.sleep(PAUSE)


def wait(client, batch_id):
    while True:
        try:
            batch = client.batches.retrieve(batch_id)
            if batch.status in ("completed", "failed", "cancelled", "expired"):
                return batch
        except APIConnectionError:
            print("The server does not answer; it may be starting again.", flush=True)
        time.sleep(PAUSE)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

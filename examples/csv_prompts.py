"""Answers each line of a CSV file, with a progress bar, and writes another one. Started again, it goes on where it was killed.

    pip install ./clients/python
    ALT_LAS_API_KEY=altlas_... python3 examples/csv_prompts.py prompts.csv answers.csv

The file has a column `prompt`; the other columns stay as they are. ALT_LAS_URL says where the server is (default: http://127.0.0.1:8642).
"""

import csv
import hashlib
import os
import sys

from alt_las import AltLas, AltLasError

AT_ONCE = 200
"""Lines in one batch."""


def main(source, target):
    client = AltLas(os.environ["ALT_LAS_API_KEY"], os.environ.get("ALT_LAS_URL", "http://127.0.0.1:8642"))
    with open(source, newline="") as file:
        rows = list(csv.DictReader(file))
    answers = []
    for start in range(0, len(rows), AT_ONCE):
        prompts = [row["prompt"] for row in rows[start : start + AT_ONCE]]
        results = client.batch(
            batch=prompts,
            max_length=64,
            # The same lines sent again are the same batch: nothing is computed twice within a day.
            idempotency_key=hashlib.sha256(repr((source, start, prompts)).encode()).hexdigest(),
            on_progress=lambda progress: draw(start + progress["done"], len(rows)),
        )
        answers += results
    with open(target, "w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "answer", "error"])
        writer.writeheader()
        for row, task in zip(rows, answers):
            writer.writerow({**row, "answer": task.get("result", {}).get("text", ""), "error": task.get("error", "")})
    print(f"\n{target} has {len(answers)} answers.")


def draw(done, total):
    full = 40 * done // total
    print(f"\r[{'#' * full}{'.' * (40 - full)}] {done} of {total}", end="", flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except AltLasError as error:
        sys.exit(f"\n{error}")

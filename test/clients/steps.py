"""What the programs beside this file have in common; steps.mjs is the same for Node."""

import json
import os
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

BASE_URL, API_KEY, CHAT_MODEL, EMBEDDING_MODEL, SLOW_MODEL = (
    os.environ[name] for name in ("BASE_URL", "API_KEY", "CHAT_MODEL", "EMBEDDING_MODEL", "SLOW_MODEL")
)
MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is the capital of France?"},
]
MAX_TOKENS = 24
TEXTS = ["A man is eating food.", "Someone eats a meal.", "The sky is full of stars tonight."]
BAD_TEMPERATURE = 3
LONG = 20_000


def report(steps):
    print(json.dumps(run(steps)), flush=True)


def report_each(libraries):
    with ThreadPoolExecutor() as pool:
        found = dict(zip(libraries, pool.map(run, libraries.values())))
    print(json.dumps(found), flush=True)


def run(steps):
    found = {}
    for name, step in steps.items():
        try:
            found[name] = step()
        except Exception:
            found[name] = {"threw": traceback.format_exc()}
    return found


def failure(call, of):
    try:
        call()
    except Exception as error:
        return of(error)
    raise AssertionError("It was not refused.")


def left():
    print("left", flush=True)
    sys.stdin.read()


def heard():
    return sys.stdin.readline().strip()

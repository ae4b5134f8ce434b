"""A client of ALT_LAS: one task, a batch, following tasks to their end, and the GPUs.

    ALT_LAS_API_KEY=altlas_... python3 examples/client.py

ALT_LAS_URL says where the server is (default: http://127.0.0.1:8642). Needs the package `requests`.
"""

import os
import sys

import requests

URL = os.environ.get("ALT_LAS_URL", "http://127.0.0.1:8642").rstrip("/")
API = URL + "/api/v1"
FINAL = ("completed", "failed", "canceled")

session = requests.Session()
session.headers["Authorization"] = "Bearer " + os.environ.get("ALT_LAS_API_KEY", "")


class Refused(Exception):
    """There is no answer to work with; the message is a sentence that says why, the server's own where it said no."""


def call(method, path, **options):
    if not URL.startswith(("http://", "https://")):
        raise Refused(f"ALT_LAS_URL must begin with http:// or https://, like http://127.0.0.1:8642; it is {URL!r}.")
    try:
        response = session.request(method, API + path, **options)
        answer = response.json()
    except ValueError:
        # requests' own errors for bad addresses and bad JSON are ValueErrors too.
        raise Refused(f"What answers at {URL} is not ALT_LAS.") from None
    except requests.exceptions.SSLError as error:
        raise Refused(f"The certificate of {URL} is not trusted here ({error}); set REQUESTS_CA_BUNDLE to its file.") from None
    except requests.RequestException:
        raise Refused(f"No server answers at {URL}; start one with npm start.") from None
    if not isinstance(answer, dict) or not (response.ok or "error" in answer):
        raise Refused(f"What answers at {URL} is not ALT_LAS.")
    if not response.ok:
        raise Refused(f"{response.status_code}: {answer['error']}")
    return answer


def predict(text, **fields):
    """Submits one task. Fields: max_length, temperature, task_type, gpu_options."""
    return call("POST", "/predict", json={"text": text, **fields})


def batch_predict(texts, **gpu_options):
    """Submits all of the texts or none. Options: strategy, batch_split."""
    return call("POST", "/batch_predict", json={"batch": texts, "gpu_options": gpu_options})


def wait_for(task_id):
    """Follows a task to its end. Each request waits up to 30 s in the server, so this loop turns slowly."""
    while True:
        task = call("GET", f"/task/{task_id}", params={"wait": 30})
        if task["status"] in FINAL:
            return task


def show(task):
    text = task["result"]["text"] if "result" in task else task.get("error", "")
    print(f"{task['task_id']} {task['status']} on GPU {task['gpu_id']}: {text!r}")


def main():
    show(wait_for(predict("Once upon a time", max_length=40)["task_id"]))

    batch = batch_predict(["The cat", "A little boy", "One day"], strategy="round_robin")
    print(f"The batch is {batch['status']}.")
    for task in batch["tasks"]:
        show(wait_for(task["task_id"]))

    for gpu in call("GET", "/gpus")["gpus"]:
        print(f"GPU {gpu['id']} ({gpu['name']}): {gpu['status']}, {gpu['task_count']} of {gpu['slots']} slots taken")


if __name__ == "__main__":
    try:
        main()
    except Refused as problem:
        sys.exit(str(problem))
    except KeyError:
        sys.exit(f"What answers at {URL} is not ALT_LAS.")

"""The package openai for Python: files, and batches of what they ask."""

import json

import openai

from steps import *
from stories import *

CHATS = "/v1/chat/completions"


def client_of(base_url):
    return openai.OpenAI(base_url=base_url, api_key=API_KEY, max_retries=0)


client = client_of(BASE_URL)


def said(error):
    assert isinstance(error, openai.APIStatusError), error
    return {"status": error.status_code, "code": error.code, "message": error.message}


def lines_of(bodies, url):
    lines = [{"custom_id": id, "method": "POST", "url": url, "body": body} for id, body in bodies.items()]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def chat_of(text, **changes):
    messages = [{"role": "user", "content": text}]
    return {"model": SLOW_MODEL, "messages": messages, "max_tokens": 8, "temperature": 0, **changes}


def begun(client, text, endpoint, **changes):
    file = client.files.create(file=("lines.jsonl", text), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", **changes
    )


def said_in(body):
    if body.get("error") is not None:
        return body["error"]["code"]
    if body["object"] == "chat.completion":
        return body["choices"][0]["message"]["content"]
    if body["object"] == "response":
        return body["output"][0]["content"][0]["text"]
    return [len(entry["embedding"]) for entry in body["data"]]


def results_of(client, batch):
    return results_in(batch, lambda id: client.files.content(id).text)


def results_in(batch, read):
    results = {}
    for name, id in (("output", batch.output_file_id), ("errors", batch.error_file_id)):
        for line in read(id).splitlines() if id else []:
            found = json.loads(line)
            response = found["response"]
            result = {"in": name}
            if response is None:
                result["code"] = found["error"]["code"]
            else:
                result.update(status=response["status_code"], said=said_in(response["body"]))
            results.setdefault(found["custom_id"], []).append(result)
    return results


def ran(bodies, endpoint):
    begin = begun(client, lines_of(bodies, endpoint), endpoint)
    batch = until(lambda: client.batches.retrieve(begin.id))
    counts = batch.request_counts.model_dump()
    return {"status": batch.status, "counts": counts, "results": results_of(client, batch)}


def stored():
    text = lines_of({"one": chat_of("Stored in Python")}, CHATS)
    upload = lambda: client.files.create(file=("stored.jsonl", text), purpose="batch")
    file, again = upload(), upload()
    listed = [one.id for one in client.files.list(purpose="batch")]
    found = client.files.retrieve(file.id)
    content = client.files.content(file.id).read()
    same = again.id == file.id and file.id in listed and found.bytes == len(text) and content == text
    deleted = client.files.delete(file.id).deleted
    shown = {"object": file.object, "bytes": file.bytes, "filename": file.filename, "purpose": file.purpose}
    refusal = failure(lambda: client.files.retrieve(file.id), said)
    return {"file": shown, "same": same, "deleted": deleted, **refusal}


def listed():
    ids = [
        begun(client, lines_of({"it": chat_of(text)}, CHATS), CHATS, metadata={"of": "a test"}).id
        for text in ("Eight in Python", "Nine in Python", "Ten in Python")
    ]
    found = [batch.id for batch in client.batches.list(limit=2) if batch.id in ids]
    for id in ids:
        until(lambda: client.batches.retrieve(id))
    return {"same": found == ids[::-1]}


steps = {
    "stored": stored,
    "chats": lambda: ran(
        {
            "first": chat_of("One"),
            "second": chat_of("Two, which is more"),
            "wrong": chat_of("Three", model="nothing"),
        },
        CHATS,
    ),
    "responses": lambda: ran(
        {"one": {"model": SLOW_MODEL, "input": "Say it", "max_output_tokens": 8, "temperature": 0}}, "/v1/responses"
    ),
    "embeddings": lambda: ran({"all": {"model": SLOW_MODEL, "input": TEXTS}}, "/v1/embeddings"),
    "listed": listed,
    "unauthorized": lambda: failure(lambda: client.with_options(api_key="wrong").files.list(), said),
    "unknown": lambda: failure(lambda: client.batches.retrieve("batch_00000000000040008000000000000000"), said),
}

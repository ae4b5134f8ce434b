"""The package ollama for Python, and litellm with Ollama's API; neither knows of a key."""

import json

import litellm
import ollama

from forms import *

litellm.suppress_debug_info = True
client = ollama.Client(host=BASE_URL)
stranger = ollama.Client(host=BASE_URL, headers={"authorization": "Bearer wrong"})
options = {"temperature": 0, "num_predict": MAX_TOKENS}
question = {"model": CHAT_MODEL, "messages": MESSAGES, "options": options}
prompted = {"model": CHAT_MODEL, "system": MESSAGES[0]["content"], "prompt": MESSAGES[1]["content"], "options": options}
slow = {"model": SLOW_MODEL, "messages": ABOUT, "options": {"temperature": 0, "num_predict": ENOUGH}}
tool = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": get_weather.__doc__,
        # The package leaves out the bounds of numbers and lengths.
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}, "days": {"type": "integer", "enum": [1, 7]}},
            "required": ["city", "days"],
        },
    },
}


def said(error):
    assert isinstance(error, ollama.ResponseError), error
    return {"status": error.status_code, "code": None, "message": error.error}


def seen(text, last):
    usage = {"prompt_tokens": last.prompt_eval_count, "completion_tokens": last.eval_count}
    return {"text": text, "finish": last.done_reason, "usage": usage}


def chat(**changes):
    answer = client.chat(**{**question, **changes})
    return seen(answer.message.content, answer)


def stream():
    parts = list(client.chat(**question, stream=True))
    return seen("".join(part.message.content for part in parts), parts[-1])


def generated():
    answer = client.generate(**prompted)
    return seen(answer.response, answer)


def generated_streamed():
    parts = list(client.generate(**prompted, stream=True))
    return seen("".join(part.response for part in parts), parts[-1])


def parsed():
    text = client.chat(**slow, format=Person.model_json_schema()).message.content
    return {"person": Person.model_validate_json(text).model_dump()}


def loop():
    messages, calls = list(ASKING), []
    while True:
        message = client.chat(**{**slow, "messages": messages}, tools=[tool]).message
        messages.append(message)
        if not message.tool_calls:
            return {"calls": calls, "answer": message.content}
        for call in message.tool_calls:
            calls.append({"name": call.function.name, "arguments": dict(call.function.arguments)})
            messages.append({"role": "tool", "content": WEATHER, "tool_name": call.function.name})


def models():
    return [{"name": one.model, "model": one.model, "size": one.size, "digest": one.digest} for one in client.list().models]


def shown():
    answer = client.show(CHAT_MODEL)
    context = [value for name, value in answer.modelinfo.items() if name.endswith(".context_length")]
    details = answer.details.model_dump(exclude_unset=True)
    return {"capabilities": answer.capabilities, "details": details, "context": context[0] if context else None}


def by_litellm(**changes):
    asked = {"messages": MESSAGES, "temperature": 0, "max_tokens": MAX_TOKENS, "api_base": BASE_URL, **changes}
    return litellm.completion(**{"model": f"ollama_chat/{CHAT_MODEL}", **asked})


def seen_by_litellm(answer):
    choice = answer.choices[0]
    usage = {name: answer.usage[name] for name in ("prompt_tokens", "completion_tokens")}
    return {"text": choice.message.content, "finish": choice.finish_reason, "usage": usage}


def litellm_streamed():
    return seen_by_litellm(litellm.stream_chunk_builder(list(by_litellm(stream=True))))


def litellm_called():
    asked = {"messages": ASKING, "tools": [tool], "max_tokens": ENOUGH}
    message = by_litellm(model=f"ollama_chat/{SLOW_MODEL}", **asked).choices[0].message
    calls = [{"name": call.function.name, "arguments": json.loads(call.function.arguments)} for call in message.tool_calls]
    return {"calls": calls}


def litellm_embeddings():
    answer = litellm.embedding(model=f"ollama/{EMBEDDING_MODEL}", input=TEXTS, api_base=BASE_URL)
    return [entry["embedding"] for entry in answer.data]


report(
    {
        "chat": chat,
        "stream": stream,
        "latest": lambda: chat(model=f"{CHAT_MODEL}:latest"),
        "windowed": lambda: chat(options={**options, "num_ctx": 512}, keep_alive="5m"),
        "generated": generated,
        "generatedStreamed": generated_streamed,
        "embeddings": lambda: client.embed(model=EMBEDDING_MODEL, input=TEXTS).embeddings,
        "parsed": parsed,
        "loop": loop,
        "models": models,
        "shown": shown,
        "running": lambda: [one.model for one in client.ps().models],
        "unauthorized": lambda: failure(lambda: stranger.chat(**question), said),
        "unknown": lambda: failure(lambda: chat(model="nothing"), said),
        "bad": lambda: failure(lambda: chat(options={**options, "temperature": BAD_TEMPERATURE}), said),
        "litellm": lambda: seen_by_litellm(by_litellm()),
        "litellmStreamed": litellm_streamed,
        "litellmCalled": litellm_called,
        "litellmEmbeddings": litellm_embeddings,
    }
)

long = client.chat(**{**slow, "options": {"num_predict": LONG}}, stream=True)
next(long)
long.close()
left()

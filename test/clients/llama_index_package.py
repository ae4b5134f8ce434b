"""LlamaIndex: llama-index-llms-openai-like. It lists no models, and its embeddings are a package of their own."""

import gc

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from openai import APIStatusError

from steps import *

messages = [ChatMessage(**message) for message in MESSAGES]


def model(model=CHAT_MODEL, **changes):
    common = {"api_base": BASE_URL, "api_key": API_KEY, "max_retries": 0, "max_tokens": MAX_TOKENS, "temperature": 0}
    return OpenAILike(model=model, **{"is_chat_model": True, **common, **changes})


def said(error):
    assert isinstance(error, APIStatusError), error
    return {"status": error.status_code, "code": error.code, "message": error.message}


def chat():
    answer = model().chat(messages)
    usage = answer.raw.usage
    choice = answer.raw.choices[0]
    return {"text": answer.message.content, "finish": choice.finish_reason, "usage": usage.model_dump()}


def stream():
    text, finish, usage = "", None, None
    for chunk in model(additional_kwargs={"stream_options": {"include_usage": True}}).stream_chat(messages):
        text += chunk.delta or ""
        usage = chunk.raw.usage or usage
        for choice in chunk.raw.choices:
            finish = choice.finish_reason or finish
    return {"text": text, "finish": finish, "usage": usage.model_dump()}


def completion():
    # What it calls by default.
    return model(is_chat_model=False, max_tokens=4).complete("The capital of France is").text


def too_hot():
    return model(additional_kwargs={"temperature": BAD_TEMPERATURE}).chat(messages)


report(
    {
        "chat": chat,
        "stream": stream,
        "completion": completion,
        "unauthorized": lambda: failure(lambda: model(api_key="wrong").chat(messages), said),
        "unknown": lambda: failure(lambda: model(model="nothing").chat(messages), said),
        "bad": lambda: failure(too_hot, said),
    }
)

long = model(model=SLOW_MODEL, max_tokens=LONG).stream_chat(messages)
next(long)
# It closes its own generator only; the connection of the one within goes when that is collected.
long.close()
del long
gc.collect()
left()

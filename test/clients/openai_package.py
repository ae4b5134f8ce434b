"""The package openai for Python."""

from openai import APIStatusError, OpenAI

from steps import *

client = OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)
question = {"model": CHAT_MODEL, "messages": MESSAGES, "max_tokens": MAX_TOKENS, "temperature": 0}


def said(error):
    assert isinstance(error, APIStatusError), error
    return {"status": error.status_code, "code": error.code, "message": error.message}


def models():
    return [model.id for model in client.models.list()] + [client.models.retrieve(CHAT_MODEL).id]


def chat():
    answer = client.chat.completions.create(**question)
    choice = answer.choices[0]
    return {"text": choice.message.content, "finish": choice.finish_reason, "usage": answer.usage.model_dump()}


def stream():
    text = ""
    with client.chat.completions.stream(**question, stream_options={"include_usage": True}) as events:
        for event in events:
            if event.type == "content.delta":
                text += event.delta
        whole = events.get_final_completion()
    choice = whole.choices[0]
    same = choice.message.content == text
    return {"text": text, "finish": choice.finish_reason, "usage": whole.usage.model_dump(), "same": same}


def choices():
    answer = client.chat.completions.create(**{**question, "temperature": 1}, n=2, seed=7)
    return [[choice.index, choice.message.content] for choice in answer.choices]


def completion():
    answer = client.completions.create(model=CHAT_MODEL, prompt="The capital of France is", max_tokens=4, temperature=0)
    return answer.choices[0].text


def embeddings():
    return [entry.embedding for entry in client.embeddings.create(model=EMBEDDING_MODEL, input=TEXTS).data]


def floats():
    answer = client.embeddings.create(model=EMBEDDING_MODEL, input=TEXTS[0], encoding_format="float")
    return [entry.embedding for entry in answer.data]


report(
    {
        "models": models,
        "chat": chat,
        "stream": stream,
        "choices": choices,
        "completion": completion,
        "embeddings": embeddings,
        "floats": floats,
        "unauthorized": lambda: failure(lambda: client.with_options(api_key="wrong").models.list(), said),
        "unknown": lambda: failure(lambda: client.chat.completions.create(**{**question, "model": "nothing"}), said),
        "bad": lambda: failure(
            lambda: client.chat.completions.create(**{**question, "temperature": BAD_TEMPERATURE}), said
        ),
    }
)

long = client.chat.completions.create(**{**question, "model": SLOW_MODEL, "max_tokens": LONG}, stream=True)
next(iter(long))
long.close()
left()

"""The package litellm, which speaks to many APIs; here to OpenAI's. It lists no models."""

import litellm

from steps import *

# With each failure it would print where to ask for help.
litellm.suppress_debug_info = True


def ask(model=CHAT_MODEL, api_key=API_KEY, max_tokens=MAX_TOKENS, **changes):
    common = {"messages": MESSAGES, "temperature": 0, "max_retries": 0, **changes}
    return litellm.completion(
        model=f"openai/{model}", api_base=BASE_URL, api_key=api_key, max_tokens=max_tokens, **common
    )


def said(error):
    return {"status": error.status_code, "code": getattr(error, "code", None), "message": error.message}


def seen(answer):
    choice = answer.choices[0]
    usage = {name: answer.usage[name] for name in ("prompt_tokens", "completion_tokens")}
    return {"text": choice.message.content, "finish": choice.finish_reason, "usage": usage}


def stream():
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    return seen(litellm.stream_chunk_builder(chunks))


def embeddings():
    answer = litellm.embedding(
        model=f"openai/{EMBEDDING_MODEL}", input=TEXTS, api_base=BASE_URL, api_key=API_KEY, max_retries=0
    )
    return [entry["embedding"] for entry in answer.data]


report(
    {
        "chat": lambda: seen(ask()),
        "stream": stream,
        "embeddings": embeddings,
        "unauthorized": lambda: failure(lambda: ask(api_key="wrong"), said),
        "unknown": lambda: failure(lambda: ask(model="nothing"), said),
        "bad": lambda: failure(lambda: ask(temperature=BAD_TEMPERATURE), said),
    }
)

long = ask(model=SLOW_MODEL, max_tokens=LONG, stream=True)
next(iter(long))
long.close()
left()

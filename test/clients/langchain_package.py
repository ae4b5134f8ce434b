"""LangChain for Python: langchain-openai. It lists no models."""

from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import APIStatusError

from steps import *


def client(**changes):
    return {"base_url": BASE_URL, "api_key": API_KEY, "max_retries": 0, **changes}


def model(**changes):
    return ChatOpenAI(**client(**{"model": CHAT_MODEL, "max_tokens": MAX_TOKENS, "temperature": 0, **changes}))


def said(error):
    assert isinstance(error, APIStatusError), error
    return {"status": error.status_code, "code": error.code, "message": error.message}


def seen(message):
    usage = message.usage_metadata
    return {
        "text": message.content,
        "finish": message.response_metadata["finish_reason"],
        "usage": {"prompt_tokens": usage["input_tokens"], "completion_tokens": usage["output_tokens"]},
    }


def stream():
    whole = None
    for chunk in model(stream_usage=True).stream(MESSAGES):
        whole = chunk if whole is None else whole + chunk
    return seen(whole)


def embeddings():
    # Else it cuts texts into the tokens of OpenAI's models, whose tables it fetches from the internet.
    return OpenAIEmbeddings(**client(model=EMBEDDING_MODEL, check_embedding_ctx_length=False)).embed_documents(TEXTS)


report(
    {
        "chat": lambda: seen(model().invoke(MESSAGES)),
        "stream": stream,
        "embeddings": embeddings,
        "unauthorized": lambda: failure(lambda: model(api_key="wrong").invoke(MESSAGES), said),
        "unknown": lambda: failure(lambda: model(model="nothing").invoke(MESSAGES), said),
        "bad": lambda: failure(lambda: model(temperature=BAD_TEMPERATURE).invoke(MESSAGES), said),
    }
)

long = model(model=SLOW_MODEL, max_tokens=LONG).stream(MESSAGES)
next(long)
long.close()
left()

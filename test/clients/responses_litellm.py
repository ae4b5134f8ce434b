"""litellm, asking for responses."""

import litellm

from forms import *
from stories import *

litellm.suppress_debug_info = True
access = {"api_base": BASE_URL, "api_key": API_KEY, "custom_llm_provider": "openai"}


def ask(model=CHAT_MODEL, api_key=API_KEY, **changes):
    question = {"instructions": MESSAGES[0]["content"], "input": MESSAGES[1]["content"], "temperature": 0}
    settings = {**question, "max_output_tokens": MAX_TOKENS, "max_retries": 0, **changes}
    return litellm.responses(model=f"openai/{model}", api_base=BASE_URL, api_key=api_key, **settings)


def said(error):
    return {"status": error.status_code, "code": getattr(error, "code", None), "message": error.message}


def seen(answer):
    usage = {"prompt_tokens": answer.usage.input_tokens, "completion_tokens": answer.usage.output_tokens}
    return {"text": text_of(answer), "finish": answer.status, "usage": usage}


def stream():
    events = list(ask(stream=True))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    whole = events[-1].response
    return {**seen(whole), "same": text_of(whole) == text}


def talked():
    first = ask()
    return {"text": text_of(ask(input=AGAIN, previous_response_id=first.id))}


def background():
    begun = ask(background=True)
    look = lambda: litellm.get_responses(response_id=begun.id, **access)
    return {"begun": begun.status, **seen(until(look))}


def removed():
    id = ask().id
    litellm.delete_responses(response_id=id, **access)
    return failure(lambda: litellm.get_responses(response_id=id, **access), said)


steps = {
    "chat": lambda: seen(ask()),
    "stream": stream,
    "talked": talked,
    "background": background,
    "removed": removed,
    "unauthorized": lambda: failure(lambda: ask(api_key="wrong"), said),
    "unknown": lambda: failure(lambda: ask(model="nothing"), said),
    "bad": lambda: failure(lambda: ask(temperature=BAD_TEMPERATURE), said),
}

"""LangChain for Python with the Responses API."""

from langchain_core.messages import ToolMessage
from langchain_openai import ChatOpenAI
from openai import APIStatusError

from forms import *
from stories import *


def model(**changes):
    settings = {"model": CHAT_MODEL, "api_key": API_KEY, "max_tokens": MAX_TOKENS, "temperature": 0, **changes}
    return ChatOpenAI(base_url=BASE_URL, max_retries=0, use_responses_api=True, **settings)


slow = model(model=SLOW_MODEL, max_tokens=ENOUGH)


def said(error):
    assert isinstance(error, APIStatusError), error
    return {"status": error.status_code, "code": error.code, "message": error.message}


def seen(message):
    usage = message.usage_metadata
    return {
        "text": message.text,
        "finish": message.response_metadata["status"],
        "usage": {"prompt_tokens": usage["input_tokens"], "completion_tokens": usage["output_tokens"]},
    }


def stream():
    whole = None
    for chunk in model().stream(MESSAGES):
        whole = chunk if whole is None else whole + chunk
    return seen(whole)


def loop():
    messages, calls = list(ASKING), []
    with_tool = slow.bind_tools([get_weather])
    while True:
        message = with_tool.invoke(messages)
        messages.append(message)
        if not message.tool_calls:
            return {"calls": calls, "answer": message.text}
        calls += [{"name": call["name"], "arguments": call["args"]} for call in message.tool_calls]
        messages += [ToolMessage(content=WEATHER, tool_call_id=call["id"]) for call in message.tool_calls]


def talked():
    answer = model().invoke(MESSAGES)
    return {"text": model().invoke([*MESSAGES, answer, {"role": "user", "content": AGAIN}]).text}


def chained():
    first = model().invoke(MESSAGES).response_metadata["id"]
    return {"text": model().invoke([MESSAGES[0], {"role": "user", "content": AGAIN}], previous_response_id=first).text}


def parsed():
    return {"person": slow.with_structured_output(Person, method="json_schema").invoke(ABOUT).model_dump()}


steps = {
    "chat": lambda: seen(model().invoke(MESSAGES)),
    "stream": stream,
    "parsed": parsed,
    "loop": loop,
    "talked": talked,
    "chained": chained,
    "unauthorized": lambda: failure(lambda: model(api_key="wrong").invoke(MESSAGES), said),
    "unknown": lambda: failure(lambda: model(model="nothing").invoke(MESSAGES), said),
    "bad": lambda: failure(lambda: model(temperature=BAD_TEMPERATURE).invoke(MESSAGES), said),
}

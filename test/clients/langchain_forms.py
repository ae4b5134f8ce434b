"""LangChain for Python: answers of a form and tools."""

from langchain_core.messages import ToolMessage
from langchain_openai import ChatOpenAI

from forms import *

model = ChatOpenAI(
    base_url=BASE_URL, api_key=API_KEY, max_retries=0, model=CHAT_MODEL, max_tokens=ENOUGH, temperature=0
)
with_tool = model.bind_tools([get_weather])


def structured(method):
    return model.with_structured_output(Person, method=method)


def parsed():
    return {"person": structured("json_schema").invoke(ABOUT).model_dump()}


def streamed():
    for part in structured("json_schema").stream(ABOUT):
        person = part
    return {"person": person.model_dump()}


def order():
    def seeded(seed):
        asked = model.model_copy(update={"temperature": 1, "seed": seed, "max_tokens": 5000})
        return asked.with_structured_output(Order, method="json_schema").invoke(ABOUT)

    return {"orders": [seeded(seed).model_dump(mode="json") for seed in SEEDS]}


def by_call():
    return {"person": structured("function_calling").invoke(ABOUT).model_dump()}


def calls_of(message):
    return [{"name": call["name"], "arguments": call["args"]} for call in message.tool_calls]


def called():
    message = with_tool.invoke(ASKING)
    return {"calls": calls_of(message), "finish": message.response_metadata["finish_reason"]}


def required():
    # Else its schema allows more than it names, and a small model does not get to an end.
    asked = model.bind_tools([get_weather], tool_choice="required", strict=True, parallel_tool_calls=False)
    return {"calls": calls_of(asked.invoke(ABOUT))}


def called_streamed():
    whole, chunks = None, 0
    for chunk in with_tool.stream(ASKING):
        chunks += len(chunk.tool_call_chunks)
        whole = chunk if whole is None else whole + chunk
    return {
        "calls": calls_of(whole),
        "finish": whole.response_metadata["finish_reason"],
        "same": chunks > 0,
    }


def loop():
    messages, calls = list(ASKING), []
    while True:
        message = with_tool.invoke(messages)
        messages.append(message)
        if not message.tool_calls:
            return {"calls": calls, "answer": message.content}
        calls += calls_of(message)
        messages += [ToolMessage(content=WEATHER, tool_call_id=call["id"]) for call in message.tool_calls]


report_forms(
    {
        "parsed": parsed,
        "streamed": streamed,
        "order": order,
        "byCall": by_call,
        "called": called,
        "required": required,
        "calledStreamed": called_streamed,
        "loop": loop,
    }
)

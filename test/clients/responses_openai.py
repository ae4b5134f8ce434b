"""The package openai for Python: responses."""

import json

import openai

from forms import *
from stories import *

client = openai.OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)
responses = client.responses
question = {
    "model": CHAT_MODEL,
    "instructions": MESSAGES[0]["content"],
    "input": MESSAGES[1]["content"],
    "max_output_tokens": MAX_TOKENS,
    "temperature": 0,
}
behind = {**question, "model": SLOW_MODEL, "background": True, "max_output_tokens": 60}
asked = {"model": SLOW_MODEL, "max_output_tokens": ENOUGH, "temperature": 0}
formed = {**asked, "input": ABOUT, "text_format": Person}
function = openai.pydantic_function_tool(get_weather)["function"]
asking = {**asked, "tools": [{"type": "function", **function}]}


def said(error):
    assert isinstance(error, openai.APIStatusError), error
    return {"status": error.status_code, "code": error.code, "message": error.message}


def seen(answer):
    usage = {"prompt_tokens": answer.usage.input_tokens, "completion_tokens": answer.usage.output_tokens}
    return {"text": answer.output_text, "finish": answer.status, "usage": usage}


def calls_in(answer):
    return [item for item in answer.output if item.type == "function_call"]


def results(calls):
    return [{"type": "function_call_output", "call_id": call.call_id, "output": WEATHER} for call in calls]


def found_calls(calls):
    return [{"name": call.name, "arguments": json.loads(call.arguments)} for call in calls]


def stream():
    text = ""
    with responses.stream(**question) as events:
        for event in events:
            if event.type == "response.output_text.delta":
                text += event.delta
        whole = events.get_final_response()
    return {**seen(whole), "same": whole.output_text == text}


def streamed():
    text = ""
    with responses.stream(**formed) as events:
        for event in events:
            if event.type == "response.output_text.delta":
                text += event.delta
        whole = events.get_final_response()
    return {"person": whole.output_parsed.model_dump(), "same": whole.output_text == text}


def loop(ask):
    items, calls = list(ASKING), []
    while True:
        answer = ask({**asking, "input": items})
        wanted = calls_in(answer)
        if not wanted:
            return {"calls": found_calls(calls), "answer": answer.output_text}
        calls += wanted
        items += [*answer.output, *results(wanted)]


def ask_streamed(asked):
    with responses.stream(**asked) as events:
        return events.get_final_response()


def chained():
    first = responses.create(**asking, input=ASKING)
    calls = calls_in(first)
    answer = responses.create(**asking, previous_response_id=first.id, input=results(calls))
    return {"calls": found_calls(calls), "answer": answer.output_text}


def talked():
    first = responses.create(**question)
    second = responses.create(**{**question, "input": AGAIN}, previous_response_id=first.id)
    responses.delete(first.id)
    return {"text": responses.retrieve(second.id).output_text}


def background():
    begun = responses.create(**question, background=True)
    return {"begun": begun.status, **seen(until(lambda: responses.retrieve(begun.id)))}


def resumed():
    events = read_pieces(responses.create(**behind, stream=True), 3)
    id, last = events[0].response.id, events[-1].sequence_number
    read_pieces(responses.retrieve(id, stream=True, starting_after=last), -1, events)
    again = read_pieces(responses.retrieve(id, stream=True), -1)
    return {"id": id, **story_of(events), "again": story_of(again)["texts"]}


def canceled():
    begun = responses.create(**{**behind, "max_output_tokens": LONG})
    return [responses.cancel(begun.id).status, responses.retrieve(begun.id).status]


def removed():
    answer = responses.create(**question)
    responses.delete(answer.id)
    return failure(lambda: responses.retrieve(answer.id), said)


def unstored():
    answer = responses.create(**question, store=False)
    return {"text": answer.output_text, **failure(lambda: responses.retrieve(answer.id), said)}


def beyond():
    answer = responses.create(**question)
    return failure(lambda: responses.retrieve(answer.id, stream=True, starting_after=2**30), said)


steps = {
    "chat": lambda: seen(responses.create(**question)),
    "stream": stream,
    "parsed": lambda: {"person": responses.parse(**formed).output_parsed.model_dump()},
    "streamed": streamed,
    "loop": lambda: loop(lambda asked: responses.create(**asked)),
    "loopStreamed": lambda: loop(ask_streamed),
    "chained": chained,
    "talked": talked,
    "background": background,
    "resumed": resumed,
    "canceled": canceled,
    "removed": removed,
    "unstored": unstored,
    "beyond": beyond,
    "unauthorized": lambda: failure(lambda: client.with_options(api_key="wrong").responses.create(**question), said),
    "unknown": lambda: failure(lambda: responses.create(**{**question, "model": "nothing"}), said),
    "bad": lambda: failure(lambda: responses.create(**{**question, "temperature": BAD_TEMPERATURE}), said),
}

"""The package openai for Python: answers of a form, tools, and the probabilities of tokens."""

import openai

from forms import *

completions = openai.OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0).chat.completions
question = {"model": CHAT_MODEL, "max_tokens": ENOUGH, "temperature": 0}
formed = {**question, "messages": ABOUT, "response_format": Person}
asking = {**question, "messages": ASKING, "tools": [openai.pydantic_function_tool(get_weather)]}


def calls_of(message):
    calls = message.tool_calls or []
    return [{"name": c.function.name, "arguments": c.function.parsed_arguments.model_dump()} for c in calls]


def parsed():
    choice = completions.parse(**formed).choices[0]
    return {"person": choice.message.parsed.model_dump(), "finish": choice.finish_reason}


def streamed():
    text = ""
    with completions.stream(**formed) as events:
        for event in events:
            if event.type == "content.delta":
                text += event.delta
        choice = events.get_final_completion().choices[0]
    message = choice.message
    return {"person": message.parsed.model_dump(), "finish": choice.finish_reason, "same": message.content == text}


def order():
    asked = {**formed, "temperature": 1, "max_tokens": 5000, "response_format": Order}
    orders = [completions.parse(**asked, seed=seed).choices[0].message.parsed for seed in SEEDS]
    return {"orders": [order.model_dump(mode="json") for order in orders]}


def tokens_of(logprobs):
    return [[one.token, one.logprob, [other.logprob for other in one.top_logprobs]] for one in logprobs.content]


def likely():
    asked = {**question, "messages": ABOUT, "max_tokens": 12, "logprobs": True, "top_logprobs": 3}
    choice = completions.create(**asked).choices[0]
    return {"text": choice.message.content, "tokens": tokens_of(choice.logprobs)}


def likely_streamed():
    asked = {**question, "messages": ABOUT, "max_tokens": 12, "logprobs": True, "top_logprobs": 3}
    text, tokens = "", []
    for chunk in completions.create(**asked, stream=True):
        text += chunk.choices[0].delta.content or ""
        if chunk.choices[0].logprobs is not None:
            tokens += tokens_of(chunk.choices[0].logprobs)
    return {"text": text, "tokens": tokens}


def called(**changes):
    choice = completions.parse(**{**asking, **changes}).choices[0]
    return {"calls": calls_of(choice.message), "finish": choice.finish_reason}


def called_streamed():
    pieces, done = [], None
    with completions.stream(**asking) as events:
        for event in events:
            if event.type == "tool_calls.function.arguments.delta":
                pieces.append(event.arguments_delta)
            if event.type == "tool_calls.function.arguments.done":
                done = event
        choice = events.get_final_completion().choices[0]
    same = done.arguments == "".join(pieces)
    return {"calls": calls_of(choice.message), "finish": choice.finish_reason, "same": same}


def loop():
    messages, calls = list(ASKING), []
    while True:
        message = completions.parse(**{**asking, "messages": messages}).choices[0].message
        messages.append(message)
        if not message.tool_calls:
            return {"calls": calls, "answer": message.content}
        calls += calls_of(message)
        messages += [{"role": "tool", "tool_call_id": call.id, "content": WEATHER} for call in message.tool_calls]


report_forms(
    {
        "parsed": parsed,
        "streamed": streamed,
        "order": order,
        "likely": likely,
        "likelyStreamed": likely_streamed,
        "called": called,
        "required": lambda: called(messages=ABOUT, tool_choice="required", parallel_tool_calls=False),
        "calledStreamed": called_streamed,
        "loop": loop,
    }
)

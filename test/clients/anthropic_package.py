"""The package anthropic for Python."""

from anthropic import Anthropic, APIStatusError

from forms import *

settings = {"base_url": BASE_URL, "max_retries": 0}
client = Anthropic(**settings, api_key=API_KEY)
stranger = Anthropic(**settings, api_key="wrong")
system, asked = MESSAGES[0]["content"], MESSAGES[1:]
# The package has no temperature.
cold = {"extra_body": {"temperature": 0}}
question = {"model": CHAT_MODEL, "system": system, "messages": asked, "max_tokens": MAX_TOKENS, **cold}
tool = {
    "name": "get_weather",
    "description": get_weather.__doc__,
    "input_schema": get_weather.model_json_schema(),
}
asking = {"model": SLOW_MODEL, "system": system, "max_tokens": ENOUGH, **cold, "tools": [tool]}


def said(error):
    assert isinstance(error, APIStatusError), error
    return {"status": error.status_code, "code": error.body["error"]["type"], "message": error.message}


def text_in(answer):
    return "".join(part.text for part in answer.content if part.type == "text")


def seen(answer):
    # What a slot knew already is counted apart.
    prompt_tokens = answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0)
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": answer.usage.output_tokens}
    return {"text": text_in(answer), "finish": answer.stop_reason, "usage": usage}


def stream():
    with client.messages.stream(**question) as events:
        text = "".join(events.text_stream)
        whole = events.get_final_message()
    return {**seen(whole), "same": text_in(whole) == text}


def ask_streamed(**asked):
    with client.messages.stream(**asked) as events:
        return events.get_final_message()


def loop(ask):
    messages, calls, finishes = ASKING[1:], [], []
    while True:
        answer = ask(**asking, messages=messages)
        finishes.append(answer.stop_reason)
        messages.append({"role": "assistant", "content": answer.content})
        wanted = [part for part in answer.content if part.type == "tool_use"]
        if not wanted:
            return {"calls": calls, "answer": text_in(answer), "finishes": finishes}
        calls += [{"name": part.name, "arguments": part.input} for part in wanted]
        results = [{"type": "tool_result", "tool_use_id": part.id, "content": WEATHER} for part in wanted]
        messages.append({"role": "user", "content": results})


report(
    {
        "chat": lambda: seen(client.messages.create(**question)),
        "stream": stream,
        "stopped": lambda: text_in(client.messages.create(**question, stop_sequences=["Paris"])),
        "counted": lambda: client.messages.count_tokens(model=CHAT_MODEL, system=system, messages=asked).input_tokens,
        "loop": lambda: loop(client.messages.create),
        "loopStreamed": lambda: loop(ask_streamed),
        "unauthorized": lambda: failure(lambda: stranger.messages.create(**question), said),
        "unknown": lambda: failure(lambda: client.messages.create(**{**question, "model": "nothing"}), said),
        "bad": lambda: failure(lambda: client.messages.create(**{**question, "extra_body": {"temperature": BAD_TEMPERATURE}}), said),
    }
)

long = client.messages.create(**{**question, "model": SLOW_MODEL, "max_tokens": LONG}, stream=True)
next(iter(long))
long.close()
left()

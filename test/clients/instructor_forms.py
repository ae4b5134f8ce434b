"""instructor, on its own version of the package openai."""

import instructor
import openai

from forms import *

client = openai.OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)
asked = {"model": CHAT_MODEL, "messages": ABOUT, "max_tokens": ENOUGH, "temperature": 0, "response_model": Person}


def person(mode):
    return {"person": instructor.from_openai(client, mode=mode).create(**asked, max_retries=0).model_dump()}


def order(seed, mode):
    changes = {"temperature": 1, "seed": seed, "max_tokens": 5000, "response_model": Order, "max_retries": 0}
    return instructor.from_openai(client, mode=mode).create(**{**asked, **changes}).model_dump(mode="json")


def streamed(mode):
    for part in instructor.from_openai(client, mode=mode).create_partial(**asked, max_retries=0):
        last = part
    return {"person": last.model_dump()}


report_forms(
    {
        "parsed": lambda: person(instructor.Mode.JSON_SCHEMA),
        "streamed": lambda: streamed(instructor.Mode.JSON_SCHEMA),
        "order": lambda: {"orders": [order(seed, instructor.Mode.JSON_SCHEMA) for seed in SEEDS]},
        "orderByCall": lambda: {"orders": [order(seed, instructor.Mode.TOOLS) for seed in SEEDS]},
        "byCall": lambda: person(instructor.Mode.TOOLS),
        "byCallStreamed": lambda: streamed(instructor.Mode.TOOLS),
        "byStrictCall": lambda: person(instructor.Mode.TOOLS_STRICT),
    }
)

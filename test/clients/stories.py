"""What the programs about responses have in common; stories.mjs is the same for Node."""

import time

AGAIN = "And what is the capital of Italy?"


def text_of(response):
    return "".join(part.text for item in response.output if item.type == "message" for part in item.content)


def story_of(events):
    texts = {}
    for event in events:
        if event.type == "response.output_text.delta":
            texts[event.output_index] = texts.get(event.output_index, "") + event.delta
    return {
        "numbers": [event.sequence_number for event in events],
        "texts": list(texts.values()),
        "closed": [event.item.status for event in events if event.type == "response.output_item.done"],
        "end": events[-1].type,
        "final": text_of(events[-1].response),
    }


def read_pieces(stream, pieces, events=None):
    events = [] if events is None else events
    with stream:
        for event in stream:
            events.append(event)
            if event.type == "response.output_text.delta":
                pieces -= 1
            if pieces == 0:
                break
    return events


def has_ended(seen):
    return seen.status not in ("queued", "in_progress", "validating", "finalizing", "cancelling")


def until(look, suits=has_ended):
    while True:
        seen = look()
        if suits(seen):
            return seen
        time.sleep(0.025)

"""What a stream tells of a task."""

from __future__ import annotations

import json
from typing import Any, Iterator, List, Literal, Optional, Union, cast

from typing_extensions import NotRequired, TypedDict

from .types import BatchResult, Task


class PlacedEvent(TypedDict):
    """A GPU has the task. One with a higher `attempt` than before means that the text so far is void: the task starts over."""

    type: Literal["placed"]
    id: str
    task_id: str
    gpu_id: int
    attempt: int


class TokenEvent(TypedDict):
    """A piece of the answer: of its text, or, with an empty `text`, of its reasoning or of a call of a tool."""

    type: Literal["token"]
    id: str
    text: str
    reasoning: NotRequired[str]
    tool_call: NotRequired[Any]
    logprobs: NotRequired[Any]


class EndEvent(TypedDict):
    """The end, with the whole task."""

    type: Literal["completed", "failed", "canceled"]
    id: str
    task: Task


class Progress(TypedDict):
    """How far a batch is, and the task that has just ended."""

    done: int
    total: int
    task: BatchResult


TaskEvent = Union[PlacedEvent, TokenEvent, EndEvent]


class Quiet(Exception):
    """Nothing came for a while: the connection may be dead, or there is nothing to say."""


class Lines:
    """Makes whole lines of bytes that come bit by bit. A last line that was cut off is not told."""

    def __init__(self) -> None:
        # In parts: put together with each, a long line would be copied over and over.
        self._rest: List[bytes] = []

    def feed(self, data: bytes) -> Iterator[str]:
        first, *others = data.split(b"\n")
        self._rest.append(first)
        for part in others:
            yield b"".join(self._rest).rstrip(b"\r").decode()
            self._rest = [part]


class Events:
    """Makes events of the lines of a stream; comments, and events that this client does not know, are passed over."""

    def __init__(self) -> None:
        self._name = ""
        self._id = ""
        self._data: List[str] = []

    def feed(self, line: str) -> Optional[TaskEvent]:
        if line == "":
            event = self._event()
            self._name, self._data = "", []
            return event
        field, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if field == "event":
            self._name = value
        elif field == "id":
            self._id = value
        elif field == "data":
            self._data.append(value)
        return None

    def _event(self) -> Optional[TaskEvent]:
        if not self._data:
            return None
        told = json.loads("\n".join(self._data))
        named = {"type": self._name, "id": self._id}
        if self._name in ("placed", "token"):
            return cast(TaskEvent, {**named, **told})
        if self._name in ("completed", "failed", "canceled"):
            return cast(TaskEvent, {**named, "task": told})
        return None

"""The asynchronous client. `_sync.py` is made of this file by unasync.py."""

from __future__ import annotations

import asyncio
import json
import math
import re
import secrets
import time
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, AsyncGenerator, AsyncIterator, Callable, Dict, List, Optional, Set, Type, cast
from urllib.parse import quote

import httpx
from typing_extensions import Unpack

from .answers import MAYBE_TOO_OLD, broken_off, checked_url, cut, failure_of, json_of, printable, too_old, version_in
from .errors import AltLasError, TaskError
from .events import Events, Lines, Progress, Quiet, TaskEvent
from .patience import Patience
from .types import (
    Batch,
    BatchRequest,
    BatchResult,
    Gpu,
    PredictRequest,
    ServedModel,
    StreamTicket,
    SubmittedBatch,
    Task,
    TaskFilter,
    TaskList,
    TaskSummary,
)

#: Seconds for which the server holds an answer until a task ends.
WAIT = 30.0
#: Seconds in which an answer has to begin, beside those.
ANSWER = 120.0
#: Seconds for a connection to be made.
CONNECT = 10.0
#: Seconds for which an answer may be late that was due at the end of a `timeout`.
LATE = 1.0
#: Methods that may be sent twice (RFC 9110, 9.2.2).
IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
#: Routes that read `Idempotency-Key`.
SUBMISSIONS = re.compile(r"/(?:predict|batch_predict|task/[^/?]+/retry)/?(?:\?|$)")
ENDS = ("completed", "failed", "canceled")


class AsyncAltLas:
    """ALT_LAS over HTTP.

    Every call is sent again while the server cannot be reached, or says that it has no room: not before its `Retry-After`, and for
    `retry_seconds` at most (0: a single try). No task is made twice by that.

    A stream on which no byte has come for `idle_seconds` is opened again, which is no failure; the server sends a comment every 15.
    `http` takes the place of an httpx client of its own, for proxies, certificates and the like.
    """

    def __init__(
        self,
        api_key: str,
        url: str = "http://127.0.0.1:8642",
        *,
        retry_seconds: float = 60,
        idle_seconds: float = 60,
        http: Optional[httpx.AsyncClient] = None,
    ) -> None:
        self._url = checked_url(url)
        self._headers = {"authorization": f"Bearer {printable('api_key', api_key.strip())}"}
        self._retry_seconds = retry_seconds
        # A socket takes no infinity.
        self._idle_seconds = None if math.isinf(idle_seconds) else idle_seconds
        self._http = httpx.AsyncClient(limits=httpx.Limits(max_connections=None)) if http is None else http
        self._is_new_enough = False

    async def __aenter__(self) -> AsyncAltLas:
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    # --- tasks -------------------------------------------------------------------------------------------------

    async def predict(self, *, idempotency_key: Optional[str] = None, **request: Unpack[PredictRequest]) -> TaskSummary:
        """Submits a task; returns when it is on the server's disk.

        Sent again within 24 hours with the same `idempotency_key`, also by another program, it makes no second task. One is drawn where
        none is given.
        """
        return cast(TaskSummary, await self._submit("/predict", request, idempotency_key))

    async def predict_and_wait(
        self,
        *,
        idempotency_key: Optional[str] = None,
        timeout: Optional[float] = None,
        **request: Unpack[PredictRequest],
    ) -> Task:
        """Submits a task and waits for its end. Raises TaskError when it failed or was canceled, TimeoutError after `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        try:
            submitted = await self._submit("/predict", request, idempotency_key, end)
            task = await self._wait(submitted["task_id"], end)
        except TimeoutError:
            raise TimeoutError(f"The task has not ended within {timeout:g} seconds.") from None
        if task["status"] != "completed":
            raise TaskError(task)
        return task

    async def wait(self, task_id: str, *, timeout: Optional[float] = None) -> Task:
        """Waits for the end of a task, whichever it is. Raises TimeoutError after `timeout` seconds; the task goes on."""
        try:
            return await self._wait(task_id, None if timeout is None else time.monotonic() + timeout)
        except TimeoutError:
            raise TimeoutError(f"Task {task_id} has not ended within {timeout:g} seconds.") from None

    async def _wait(self, task_id: str, end: Optional[float]) -> Task:
        while True:
            began = time.monotonic()
            left = WAIT if end is None else min(WAIT, max(0.0, end - began))
            path = f"{_path('task', task_id)}?wait={left:.3f}"
            task = cast(Task, await self._json("GET", path, seconds=left + 30, end=end))
            if task["status"] in ENDS:
                return task
            now = time.monotonic()
            if end is not None and now >= end:
                raise TimeoutError
            # A server that stops holds no answers, and would be asked in a circle.
            if now - began < min(1.0, left):
                await asyncio.sleep(min(1.0, left))

    async def task(self, task_id: str) -> Task:
        """A task as it is now."""
        return cast(Task, await self._json("GET", _path("task", task_id)))

    async def tasks(self, **filter: Unpack[TaskFilter]) -> TaskList:
        """A page of tasks, newest first; `next` is the `after` of the page that follows."""
        query = httpx.QueryParams({name: str(value) for name, value in filter.items() if value is not None})
        return cast(TaskList, await self._json("GET", f"/tasks?{query}"))

    async def cancel(self, task_id: str) -> Task:
        """Stops a task, and returns it as it is then. One that was canceled before is no error; `conflict`: it has ended otherwise."""
        try:
            return cast(Task, await self._json("POST", f"{_path('task', task_id)}/cancel"))
        except AltLasError as error:
            # So it is, too, when the answer to the first try was lost.
            if error.code != "conflict" or error.conflict_status != "canceled":
                raise
            return await self.task(task_id)

    # --- streams -----------------------------------------------------------------------------------------------

    async def stream(
        self, *, idempotency_key: Optional[str] = None, **request: Unpack[PredictRequest]
    ) -> AsyncGenerator[TaskEvent]:
        """Submits a task and tells what happens to it, to its end. A program that stops reading does not stop the task: `cancel` does."""
        submitted = await self.predict(idempotency_key=idempotency_key, **request)
        events = self.follow(submitted["task_id"])
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def follow(self, task_id: str, *, last_event_id: Optional[str] = None) -> AsyncGenerator[TaskEvent]:
        """Tells what happens to a task, to its end. Where the connection is cut, it goes on behind the last event."""
        patience = Patience(self._retry_seconds)
        while True:
            headers = {} if last_event_id is None else {"last-event-id": last_event_id}
            try:
                async with self._open(f"{_path('task', task_id)}/events", headers) as response:
                    if response.status_code == 204:
                        return
                    patience.opened()
                    events = Events()
                    async for line in self._lines(response):
                        event = events.feed(line)
                        if event is None:
                            continue
                        patience.reset()
                        last_event_id = event["id"]
                        yield event
                        if event["type"] in ENDS:
                            return
                raise broken_off()
            except Quiet:
                continue
            except AltLasError as error:
                await asyncio.sleep(patience.pause(error))

    # --- batches -----------------------------------------------------------------------------------------------

    async def submit_batch(
        self, *, idempotency_key: Optional[str] = None, **request: Unpack[BatchRequest]
    ) -> SubmittedBatch:
        """Submits several tasks, all or none."""
        return cast(SubmittedBatch, await self._submit("/batch_predict", request, idempotency_key))

    async def batch(
        self,
        *,
        idempotency_key: Optional[str] = None,
        on_progress: Optional[Callable[[Progress], None]] = None,
        **request: Unpack[BatchRequest],
    ) -> List[BatchResult]:
        """Submits several tasks and waits for all. They come in the order of the items, also those that failed."""
        submitted = await self.submit_batch(idempotency_key=idempotency_key, **request)
        total = len(submitted["tasks"])
        batch_id = str(submitted["batch_id"])
        results: Dict[int, BatchResult] = {}
        async for task in self.results(batch_id):
            results[task["index"]] = task
            if on_progress is not None:
                on_progress(Progress(done=len(results), total=total, task=task))
        if len(results) < total:
            missing = f"{total - len(results)} of {total} results of the batch {batch_id} are not kept any more."
            raise AltLasError("results_gone", missing)
        return [results[index] for index in sorted(results)]

    async def results(self, batch_id: str) -> AsyncGenerator[BatchResult]:
        """The tasks of a batch, each once, in the order in which they end."""
        patience = Patience(self._retry_seconds)
        told: Set[int] = set()
        while True:
            try:
                # Asked before: what ends while the lines come may be in the next reading only.
                state = cast(Batch, await self._once("GET", _path("batch", batch_id)))
                async with self._open(f"{_path('batch', batch_id)}/results", {}) as response:
                    patience.opened()
                    async for line in self._lines(response):
                        if line == "":
                            continue
                        task = cast(BatchResult, json.loads(line))
                        if task["index"] in told:
                            continue
                        patience.reset()
                        told.add(task["index"])
                        yield task
                if state["finished_at"] is not None or len(told) >= state["size"]:
                    return
                raise broken_off()
            except Quiet:
                continue
            except AltLasError as error:
                await asyncio.sleep(patience.pause(error))

    async def batch_state(self, batch_id: str) -> Batch:
        """How far a batch is."""
        return cast(Batch, await self._json("GET", _path("batch", batch_id)))

    async def cancel_batch(self, batch_id: str) -> Batch:
        """Cancels the tasks of a batch that have not ended, and returns it as it is then; `conflict`: all had ended otherwise."""
        lost: List[AltLasError] = []
        try:
            return cast(Batch, await self._json("POST", f"{_path('batch', batch_id)}/cancel", on_lost=lost.append))
        except AltLasError as error:
            # A try whose answer was lost may have canceled it, though some of its tasks had ended before, as which it then counts.
            if error.code != "conflict" or (error.conflict_status != "canceled" and not lost):
                raise
            return await self.batch_state(batch_id)

    # --- the server --------------------------------------------------------------------------------------------

    async def models(self) -> List[ServedModel]:
        return cast(List[ServedModel], (await self._json("GET", "/models"))["models"])

    async def gpus(self) -> List[Gpu]:
        return cast(List[Gpu], (await self._json("GET", "/gpus"))["gpus"])

    async def webhook_secret(self) -> str:
        """The secret for `verify_webhook`."""
        return str((await self._json("GET", "/webhook_secret"))["secret"])

    async def events_url(self, task_id: str) -> str:
        """An address with which a browser's EventSource can follow a task without any key, for 60 seconds and then for as long as it does."""
        path = f"/api/v1{_path('task', task_id)}/events"
        made = cast(StreamTicket, await self._json("POST", "/stream_ticket", {"path": path}))
        return f"{self._url}{path}?ticket={quote(made['ticket'], safe='')}"

    async def version(self) -> str:
        """The server's version."""
        try:
            response = await self._http.get(f"{self._url}/healthz", timeout=httpx.Timeout(ANSWER, connect=CONNECT))
        except httpx.TransportError as error:
            raise cut(self._url, error) from error
        return version_in(self._url, response)

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Any other route. `path` is below /api/v1, with its query.

        A call that must not be made twice (POST, PATCH) is sent again only when the server itself has refused it.
        """
        verb = method.upper()
        if verb == "POST" and SUBMISSIONS.match(path):
            return await self._submit(path, body, None)
        return await self._json(verb, path, body, on_lost=None if verb in IDEMPOTENT else _give_up)

    # --- HTTP --------------------------------------------------------------------------------------------------

    async def _submit(self, path: str, body: Any, idempotency_key: Optional[str], end: Optional[float] = None) -> Any:
        key = secrets.token_hex(16) if idempotency_key is None else printable("idempotency_key", idempotency_key)
        return await self._json("POST", path, body, headers={"idempotency-key": key}, end=end)

    async def _json(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Optional[Dict[str, str]] = None,
        seconds: float = ANSWER,
        end: Optional[float] = None,
        on_lost: Optional[Callable[[AltLasError], None]] = None,
    ) -> Any:
        """The JSON that answers a call, which is sent until it is answered. Raises TimeoutError at `end`.

        `on_lost` is called when the server may have done what a try asked for, and its answer is lost. What it raises ends the call.
        """
        patience = Patience(self._retry_seconds)
        while True:
            left = math.inf if end is None else max(0.0, end - time.monotonic()) + LATE
            try:
                return await self._once(method, path, body, headers, min(seconds, left))
            except AltLasError as error:
                if on_lost is not None and error.code in ("no_connection", "not_alt_las"):
                    on_lost(error)
                pause = patience.pause(error)
            if end is not None and time.monotonic() + pause >= end:
                await asyncio.sleep(max(0.0, end - time.monotonic()))
                raise TimeoutError
            await asyncio.sleep(pause)

    async def _once(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Optional[Dict[str, str]] = None,
        seconds: float = ANSWER,
    ) -> Any:
        """The JSON that answers a single try."""
        sent = {**self._headers, **(headers or {})}
        if body is not None:
            sent["content-type"] = "application/json"
        content = None if body is None else json.dumps(body).encode()
        timeout = httpx.Timeout(seconds, connect=min(CONNECT, seconds))
        try:
            response = await self._http.request(
                method, f"{self._url}/api/v1{path}", content=content, headers=sent, timeout=timeout
            )
        except httpx.TransportError as error:
            raise cut(self._url, error) from error
        if not response.is_success:
            raise await self._failure_of(response)
        return json_of(self._url, response)

    @asynccontextmanager
    async def _open(self, path: str, headers: Dict[str, str]) -> AsyncIterator[httpx.Response]:
        """A successful answer to a single try, whose body is not read yet."""
        request = self._http.build_request(
            "GET",
            f"{self._url}/api/v1{path}",
            headers={**self._headers, **headers},
            timeout=httpx.Timeout(ANSWER, read=self._idle_seconds, connect=CONNECT),
        )
        try:
            response = await self._http.send(request, stream=True)
            if not response.is_success:
                await response.aread()
        except httpx.TransportError as error:
            raise cut(self._url, error) from error
        try:
            if not response.is_success:
                raise await self._failure_of(response)
            yield response
        finally:
            await response.aclose()

    async def _lines(self, response: httpx.Response) -> AsyncIterator[str]:
        lines = Lines()
        try:
            async for data in response.aiter_bytes():
                for line in lines.feed(data):
                    yield line
        except httpx.ReadTimeout:
            raise Quiet from None
        except httpx.TransportError as error:
            raise cut(self._url, error) from error

    async def _failure_of(self, response: httpx.Response) -> AltLasError:
        failure = failure_of(self._url, response)
        if response.status_code not in MAYBE_TOO_OLD or self._is_new_enough:
            return failure
        try:
            old = too_old(self._url, await self.version())
        except AltLasError:
            return failure
        self._is_new_enough = old is None
        return failure if old is None else old


def _path(kind: str, name: str) -> str:
    return f"/{kind}/{quote(name, safe='')}"


def _give_up(error: AltLasError) -> None:
    raise error

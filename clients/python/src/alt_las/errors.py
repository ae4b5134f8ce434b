"""Failures. Each has a sentence for people and a code for programs: one of the server, or one of this client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Optional

if TYPE_CHECKING:
    from .types import Task

ClientErrorCode = Literal[
    "no_connection",  # no server answers, or the connection was cut
    "not_alt_las",  # what answers is not ALT_LAS, such as a proxy
    "server_too_old",  # the server is older than this client can use
    "canceled",  # a task ended because somebody canceled it
    "results_gone",  # results of a batch are not kept any more
    "bad_signature",  # a webhook is not from the server, or is too old
]


class AltLasError(Exception):
    """A request that came to nothing. The codes of the server may grow: they are in `types.ErrorCode` as of this client."""

    def __init__(
        self,
        code: str,
        sentence: str,
        *,
        status: Optional[int] = None,
        retry_after: Optional[float] = None,
        request_id: Optional[str] = None,
        conflict_status: Optional[str] = None,
        is_temporary: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.code = code
        #: Of the answer; None: there was none.
        self.status = status
        #: Seconds after which the server wants to be asked again.
        self.retry_after = retry_after
        #: Names the request in the server's log.
        self.request_id = request_id
        #: Of a `conflict`: the status that stands in the way.
        self.conflict_status = conflict_status
        #: Whether the same request may succeed later.
        self.is_temporary = is_temporary


class TaskError(AltLasError):
    """A task that failed or was canceled."""

    def __init__(self, task: Task) -> None:
        if task["status"] == "canceled":
            super().__init__("canceled", f"Task {task['task_id']} was canceled.")
        else:
            super().__init__(
                task.get("error_code", "internal_error"), task.get("error", f"Task {task['task_id']} failed.")
            )
        self.task = task

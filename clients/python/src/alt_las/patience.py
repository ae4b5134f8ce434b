"""Whether and when to try again."""

from __future__ import annotations

import random
import time
from typing import Callable, Optional

from .errors import AltLasError

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 5.0


class Patience:
    """For one operation: it gives up when nothing has worked for so many seconds."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._failures = 0
        self._failing_since = 0.0
        #: When the connection was made that is used now; None: there is none.
        self._open_since: Optional[float] = None

    def opened(self) -> None:
        """A connection is there. When it lasts, it has worked, though nothing may come for hours: a task can wait that long."""
        self._open_since = self._now()

    def reset(self) -> None:
        """Something has come."""
        self._failures = 0

    def pause(self, error: AltLasError) -> float:
        """Seconds until the next try: never before the server's `Retry-After`.

        Raises the error itself where it is no temporary one, or where the time would be up.
        """
        if not error.is_temporary:
            raise error
        now = self._now()
        if self._open_since is not None and now - self._open_since > LONGEST_PAUSE:
            self._failures = 0
        self._open_since = None
        if self._failures == 0:
            self._failing_since = now
        # Clients that were cut off together must not come back together.
        spread = random.random()
        growing = min(FIRST_PAUSE * 2.0 ** min(self._failures, 10), LONGEST_PAUSE) * (0.5 + spread / 2)
        least = growing if error.retry_after is None else error.retry_after
        self._failures += 1
        # What spreads clients is not counted: a server that asks for all of the time gets it.
        if now - self._failing_since + least > self._seconds:
            raise error
        return least if error.retry_after is None else least + spread * FIRST_PAUSE

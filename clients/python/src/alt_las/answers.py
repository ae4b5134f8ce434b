"""What answers mean: failures, and servers that are too old or none of ours."""

from __future__ import annotations

import email.utils
import json
import re
import time
from typing import Any, Optional, Tuple

import httpx

from .errors import AltLasError

#: The oldest server that this client can use.
OLDEST_SERVER = "0.2.0"
#: Failures that an older server may answer to what it does not know.
MAYBE_TOO_OLD = (400, 404, 405)
TEMPORARY = (408, 429, 502, 503, 504)


def checked_url(url: str) -> str:
    """The address without a slash at its end. Raises ValueError where it is none of HTTP."""
    if not re.match(r"https?://[^/]", url):
        raise ValueError(f"url must begin with http:// or https://, like http://127.0.0.1:8642; got {url!r}.")
    return url.rstrip("/")


def printable(name: str, value: str) -> str:
    """What goes into a header. Raises ValueError where it cannot; the value is not told, as it may be a secret."""
    if re.search(r"[^\x20-\x7e]", value):
        raise ValueError(f"{name} must be printable ASCII characters; got others, as of a key that was shortened.")
    return value


def cut(url: str, error: Exception) -> AltLasError:
    """The connection was cut, or there was none."""
    reason = str(error) or type(error).__name__
    return AltLasError("no_connection", f"No server answers at {url}: {reason}.", is_temporary=True)


def broken_off() -> AltLasError:
    return AltLasError("no_connection", "The stream broke off.", is_temporary=True)


def not_alt_las(url: str) -> AltLasError:
    return AltLasError("not_alt_las", f"What answers at {url} is not ALT_LAS.")


def failure_of(url: str, response: httpx.Response) -> AltLasError:
    """Of an answer that is no success, and has been read."""
    status = response.status_code
    retry_after = _seconds(response.headers.get("retry-after"))
    request_id = response.headers.get("x-request-id")
    try:
        said: Any = json.loads(response.content)
    except ValueError:
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("error"), str) or not isinstance(said.get("code"), str):
        return AltLasError(
            "not_alt_las",
            f"What answers at {url} is not ALT_LAS: it says {status}.",
            status=status,
            retry_after=retry_after,
            request_id=request_id,
            is_temporary=status in TEMPORARY,
        )
    return AltLasError(
        said["code"],
        said["error"],
        status=status,
        retry_after=retry_after,
        request_id=request_id,
        conflict_status=said.get("status"),
        is_temporary=status in (429, 503),
    )


def json_of(url: str, response: httpx.Response) -> Any:
    """The JSON of an answer that has been read."""
    try:
        return json.loads(response.content)
    except ValueError:
        # A few routes have tables, too.
        if not response.headers.get("content-type", "").startswith("text/csv"):
            raise not_alt_las(url) from None
        sentence = f"What answers at {url} sends text/csv, and this client reads JSON alone."
        raise AltLasError("not_alt_las", sentence) from None


def version_in(url: str, response: httpx.Response) -> str:
    """The version that `/healthz` says, also of a server that is not ready."""
    said = json_of(url, response)
    version = said.get("version") if isinstance(said, dict) else None
    if not isinstance(version, str):
        raise not_alt_las(url)
    return version


def too_old(url: str, version: str) -> Optional[AltLasError]:
    """None: it is new enough."""
    if _parts(version) >= _parts(OLDEST_SERVER):
        return None
    sentence = f"This client needs ALT_LAS {OLDEST_SERVER} or later; the server at {url} is {version}."
    return AltLasError("server_too_old", sentence)


def _parts(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _seconds(header: Optional[str]) -> Optional[float]:
    """Seconds, or a date (RFC 9110)."""
    if header is None:
        return None
    if header.isdigit():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError):
        return None

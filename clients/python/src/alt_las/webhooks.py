"""Webhooks: whether they are from the server (Standard Webhooks 1.0.0, https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from typing import Literal, Mapping, Optional, Sequence, Union, cast

from typing_extensions import TypedDict

from .errors import AltLasError
from .types import Batch, Task

PREFIX = "whsec_"
#: Seconds by which the clocks may differ, and a webhook may be late.
TOLERANCE = 300.0


class TaskWebhook(TypedDict):
    type: Literal["task.running", "task.completed", "task.failed", "task.canceled"]
    timestamp: str
    data: Task


class BatchWebhook(TypedDict):
    type: Literal["batch.completed"]
    timestamp: str
    data: Batch


Webhook = Union[TaskWebhook, BatchWebhook]


def verify_webhook(
    secret: Union[str, Sequence[str]],
    headers: Mapping[str, str],
    body: Union[str, bytes],
    *,
    tolerance: float = TOLERANCE,
    now: Optional[float] = None,
) -> Webhook:
    """Checks a webhook's signature, and returns what it says.

    `secret` is that of `GET /webhook_secret`, or several, one of which has to fit. `body` is as it came, before any parsing. The same
    event always has the same `webhook-id`, by which a receiver knows those that come twice.
    Raises AltLasError with the code `bad_signature`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signed = (
        _header(given, name) for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    )
    if not re.fullmatch(r"[0-9]{1,15}", timestamp):
        raise _bad("webhook-timestamp must be seconds since 1970.")
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance:
        raise _bad(f"The webhook is from another time than now ({timestamp}): more than {tolerance:g} seconds off.")
    content = body.encode() if isinstance(body, str) else body
    message = f"{message_id}.{timestamp}.".encode() + content
    signatures = [one[3:] for one in signed.split(" ") if one.startswith("v1,")]
    for one in [secret] if isinstance(secret, str) else secret:
        expected = base64.b64encode(hmac.new(_key(one), message, hashlib.sha256).digest())
        if any(hmac.compare_digest(expected, signature.encode()) for signature in signatures):
            return cast(Webhook, json.loads(content))
    raise _bad("No signature of the webhook is made with this secret.")


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret[len(PREFIX) :], validate=True) if secret.startswith(PREFIX) else b""
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError(f"A webhook secret begins with {PREFIX}, and base64 follows.")
    return key


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise _bad(f"The header {name} is missing.")
    return value


def _bad(sentence: str) -> AltLasError:
    return AltLasError("bad_signature", sentence)

"""A client of ALT_LAS.

    from alt_las import AltLas

    client = AltLas(api_key="altlas_...")
    task = client.predict_and_wait(text="Once upon a time", max_length=48)
"""

from ._async import AsyncAltLas
from ._sync import AltLas
from .answers import OLDEST_SERVER
from .errors import AltLasError, ClientErrorCode, TaskError
from .events import EndEvent, PlacedEvent, Progress, TaskEvent, TokenEvent
from .webhooks import Webhook, verify_webhook

__all__ = [
    "OLDEST_SERVER",
    "AltLas",
    "AltLasError",
    "AsyncAltLas",
    "ClientErrorCode",
    "EndEvent",
    "PlacedEvent",
    "Progress",
    "TaskError",
    "TaskEvent",
    "TokenEvent",
    "Webhook",
    "verify_webhook",
]

"""What mypy has to understand of a program that uses the client."""

from typing import List, Literal

from alt_las import AltLas, AsyncAltLas, Progress, verify_webhook
from alt_las.types import BatchResult, Task

client = AltLas("k")
task: Task = client.predict_and_wait(text="x", gpu_options={"strategy": "random"})
status: Literal["queued", "running", "completed", "failed", "canceled"] = task["status"]

for event in client.stream(messages=[{"role": "user", "content": "x"}]):
    if event["type"] == "token":
        event["text"].strip()
    elif event["type"] == "placed":
        event["attempt"].bit_length()
    else:
        len(event["task"]["attempts"])


def show(progress: Progress) -> None:
    progress["done"].bit_length()


results: List[BatchResult] = client.batch(batch=["a", {"text": "b"}], max_length=3, on_progress=show)
webhook = verify_webhook("whsec_", {}, status)
client.predict(text="x", gpu_options={"strategy": "best"})  # type: ignore[arg-type]
client.predict(text="x", prompt="y")  # type: ignore[call-arg]


async def later() -> str:
    async with AsyncAltLas("k") as other:
        async for piece in other.stream(text="x"):
            piece["id"].strip()
        return (await other.predict(text="x"))["task_id"]

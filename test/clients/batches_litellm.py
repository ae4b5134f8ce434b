"""litellm, with files and batches."""

import litellm
from batches_openai import chat_of, CHATS, lines_of, results_in

from steps import *
from stories import *

litellm.suppress_debug_info = True
access = {"custom_llm_provider": "openai", "api_base": BASE_URL, "api_key": API_KEY}


def ran():
    text = lines_of({"first": chat_of("One"), "wrong": chat_of("Three", model="nothing")}, CHATS)
    file = litellm.create_file(file=("litellm.jsonl", text), purpose="batch", **access)
    begun = litellm.create_batch(completion_window="24h", endpoint=CHATS, input_file_id=file.id, **access)
    batch = until(lambda: litellm.retrieve_batch(batch_id=begun.id, **access))
    read = lambda id: litellm.file_content(file_id=id, **access).text
    counts = batch.request_counts.model_dump()
    return {"status": batch.status, "counts": counts, "results": results_in(batch, read)}


def listed():
    listed = litellm.list_batches(limit=1, **access)
    return {"same": len(list(listed.data)) == 1}


steps = {"litellmRan": ran, "litellmListed": listed}

# made by tools/client-types.ts of schemas.json b2a32ad16d45b86bf7c5fef3fdbbe473c00dc6b912e19b8d9eae5b4859fbd4d6

from __future__ import annotations

from typing import Any, Literal, Optional, Union

from typing_extensions import NotRequired, TypeAlias, TypedDict

ErrorCode: TypeAlias = Literal['invalid_input', 'model_not_found', 'unsupported', 'malformed_json', 'unauthorized', 'forbidden', 'not_found', 'text_gone', 'method_not_allowed', 'request_timeout', 'conflict', 'body_too_large', 'unsupported_media_type', 'expectation_failed', 'rate_limited', 'budget_exceeded', 'headers_too_large', 'internal_error', 'queue_full', 'overloaded', 'files_full', 'draining', 'not_ready', 'no_usable_gpu', 'issuer_unavailable', 'store_unavailable', 'bad_config', 'gpu_lost', 'worker_crash', 'poison', 'timeout', 'out_of_memory', 'model_fetch_failed', 'model_error', 'model_too_large', 'prompt_too_long']
"""
What the server says is wrong.
"""


class ContentItem(TypedDict):
    type: str
    text: NotRequired[Optional[str]]


class Function(TypedDict):
    name: str
    arguments: str
    """
    JSON.
    """


class ToolCall(TypedDict):
    id: str
    type: NotRequired[Optional[Literal['function']]]
    function: Function


class Message(TypedDict):
    role: Literal['system', 'user', 'assistant', 'tool']
    content: NotRequired[Optional[Union[str, list[ContentItem]]]]
    """
    A string, or a list of parts, `{"type": "text", "text": "…"}`, which are joined by line breaks. Of an assistant it may be null or left out.
    """
    tool_calls: NotRequired[Optional[list[ToolCall]]]
    """
    Of an assistant: the calls that it has made, as `tool_calls` of a result has them.
    """
    tool_call_id: NotRequired[Optional[str]]
    """
    Of a tool's message: the id of the call that it answers; without it, the first call that none has answered yet, of the tool that `name` says.
    """
    name: NotRequired[Optional[str]]
    """
    Of a tool's message: the tool's name; of others it means nothing.
    """


class JsonSchema(TypedDict):
    name: NotRequired[Optional[str]]
    description: NotRequired[Optional[str]]
    """
    What it is for; the model reads it.
    """
    schema: Union[dict[str, Any], bool]
    """
    What the text has to be, as JSON Schema says it.
    """
    strict: NotRequired[Optional[bool]]
    """
    Whether what cannot be made sure of is refused.
    """


class ResponseFormat(TypedDict):
    """
    The form of the text, unless it is cut off: `{"type": "text"}`; `{"type": "json_object"}`: an object in JSON; `{"type": "json_schema", "json_schema": {"schema": …, "strict": …}}`: JSON that matches the schema. Under `strict: true` what cannot be made sure of is refused; else the answer is checked, and `result.mismatch` says what does not match.
    """

    type: Literal['text', 'json_object', 'json_schema']
    json_schema: NotRequired[Optional[JsonSchema]]


class Function1(TypedDict):
    name: str
    description: NotRequired[Optional[str]]
    """
    What it is for; the model reads it.
    """
    parameters: NotRequired[Optional[dict[str, Any]]]
    """
    A JSON schema of the arguments; without it, there are none.
    """
    strict: NotRequired[Optional[bool]]
    """
    Whether what cannot be made sure of is refused.
    """


class Tool(TypedDict):
    type: NotRequired[Optional[str]]
    """
    function.
    """
    function: NotRequired[Optional[Function1]]


class Function2(TypedDict):
    name: str


class ToolChoice(TypedDict):
    """
    auto: the model decides whether it calls tools; none: it calls none, and is told of none; required: it calls one at least; or the one that it calls. Without it, auto.
    """

    type: NotRequired[Literal['function']]
    function: Function2


class GpuOptions(TypedDict):
    """
    How to choose the GPU. batch_split means nothing for one task.
    """

    strategy: NotRequired[Optional[Literal['round_robin', 'least_loaded', 'memory_optimized', 'task_specific', 'random']]]
    """
    How a GPU is chosen.
    """
    batch_split: NotRequired[Optional[bool]]
    """
    Spread a batch over several GPUs.
    """
    specific_gpu_id: NotRequired[Optional[int]]
    """
    The task runs on this GPU or nowhere; the strategy is not asked.
    """


class PredictRequest(TypedDict):
    text: NotRequired[Optional[str]]
    """
    The text to process: not empty, at most 1048576 bytes in UTF-8. Exactly one of text, messages and input must be given.
    """
    messages: NotRequired[Optional[list[Message]]]
    """
    In the place of text: a conversation, which the model's own chat template makes a prompt of. One message at least is the user's; at most 1048576 bytes in UTF-8 in all.
    """
    input: NotRequired[Optional[Union[str, list[str]]]]
    """
    In the place of text: what to make vectors of, at most 1048576 bytes in UTF-8 in all. The result has them as embeddings, in their order.
    """
    raw: NotRequired[Optional[bool]]
    """
    Of text alone. true: it is continued as it is. false: it is one user's message where the model has a chat template. Without it, engine.raw of the configuration.
    """
    model: NotRequired[Optional[str]]
    """
    The name of the model that is to run it; without it, any of those for the task_type.
    """
    max_length: NotRequired[Optional[int]]
    """
    Tokens to generate at most.
    """
    temperature: NotRequired[Optional[float]]
    """
    0 is greedy.
    """
    top_p: NotRequired[Optional[float]]
    """
    Only the likeliest tokens that have this much of the probability together; 1: all. Without it, 0.95.
    """
    top_k: NotRequired[Optional[int]]
    """
    Only so many of the likeliest tokens; 0: all. Without it, 40.
    """
    min_p: NotRequired[Optional[float]]
    """
    Only tokens with at least this share of the likeliest one's probability; 0: all. Without it, 0.05.
    """
    seed: NotRequired[Optional[int]]
    """
    The same one gives the same text again on the same engine. Without it, one is drawn and shown.
    """
    presence_penalty: NotRequired[Optional[float]]
    """
    Taken off the logit of each token that the answer has already.
    """
    frequency_penalty: NotRequired[Optional[float]]
    """
    Taken off as often as the answer has the token.
    """
    logit_bias: NotRequired[dict[str, float]]
    """
    By a token's number: added to its logit. -100 forbids it.
    """
    stop: NotRequired[Optional[Union[str, list[str]]]]
    """
    The answer ends before the first of these, which is not part of it: one, or up to 16, each at most 256 bytes.
    """
    response_format: NotRequired[Optional[ResponseFormat]]
    """
    The form of the text, unless it is cut off: `{"type": "text"}`; `{"type": "json_object"}`: an object in JSON; `{"type": "json_schema", "json_schema": {"schema": …, "strict": …}}`: JSON that matches the schema. Under `strict: true` what cannot be made sure of is refused; else the answer is checked, and `result.mismatch` says what does not match.
    """
    tools: NotRequired[Optional[list[Tool]]]
    """
    Functions of the caller's that the model may ask for, at most 128, each with a name of its own; the result has `tool_calls` then.
    """
    tool_choice: NotRequired[Optional[Union[Literal['none', 'auto', 'required'], ToolChoice]]]
    """
    auto: the model decides whether it calls tools; none: it calls none, and is told of none; required: it calls one at least; or the one that it calls. Without it, auto.
    """
    parallel_tool_calls: NotRequired[Optional[bool]]
    """
    Whether an answer may have several calls. Without it, true.
    """
    logprobs: NotRequired[Optional[int]]
    """
    The result has the tokens of the text with their probabilities, and so many of the likeliest in the place of each: 0 to 20.
    """
    task_type: NotRequired[Optional[str]]
    """
    The strategy task_specific looks it up; at most 256 bytes.
    """
    priority: NotRequired[Optional[Literal['high', 'normal', 'low']]]
    """
    Among the caller's own tasks.
    """
    store: NotRequired[Optional[bool]]
    """
    false: prompt and answer are never on disk, only in memory until the answer was read; see docs/privacy.md. true, as without it: as the server is configured.
    """
    timeout_seconds: NotRequired[Optional[float]]
    """
    Seconds from the submission after which the task fails; without it, it may take any time.
    """
    gpu_options: NotRequired[Optional[GpuOptions]]
    """
    How to choose the GPU. batch_split means nothing for one task.
    """
    webhook_url: NotRequired[Optional[str]]
    """
    Where to send events: an http or https address.
    """
    webhook_events: NotRequired[Optional[list[Literal['task.running', 'task.completed', 'task.failed', 'task.canceled']]]]
    """
    Which events to send to webhook_url; without it, the three final ones.
    """


class Function3(TypedDict):
    name: str
    arguments: str
    """
    JSON.
    """


class ToolCall1(TypedDict):
    id: str
    type: NotRequired[Optional[Literal['function']]]
    function: Function3


class Message1(TypedDict):
    role: Literal['system', 'user', 'assistant', 'tool']
    content: NotRequired[Optional[Union[str, list[ContentItem]]]]
    """
    A string, or a list of parts, `{"type": "text", "text": "…"}`, which are joined by line breaks. Of an assistant it may be null or left out.
    """
    tool_calls: NotRequired[Optional[list[ToolCall1]]]
    """
    Of an assistant: the calls that it has made, as `tool_calls` of a result has them.
    """
    tool_call_id: NotRequired[Optional[str]]
    """
    Of a tool's message: the id of the call that it answers; without it, the first call that none has answered yet, of the tool that `name` says.
    """
    name: NotRequired[Optional[str]]
    """
    Of a tool's message: the tool's name; of others it means nothing.
    """


class ResponseFormat1(TypedDict):
    """
    The form of the text, unless it is cut off: `{"type": "text"}`; `{"type": "json_object"}`: an object in JSON; `{"type": "json_schema", "json_schema": {"schema": …, "strict": …}}`: JSON that matches the schema. Under `strict: true` what cannot be made sure of is refused; else the answer is checked, and `result.mismatch` says what does not match.
    """

    type: Literal['text', 'json_object', 'json_schema']
    json_schema: NotRequired[Optional[JsonSchema]]


class Function4(TypedDict):
    name: str
    description: NotRequired[Optional[str]]
    """
    What it is for; the model reads it.
    """
    parameters: NotRequired[Optional[dict[str, Any]]]
    """
    A JSON schema of the arguments; without it, there are none.
    """
    strict: NotRequired[Optional[bool]]
    """
    Whether what cannot be made sure of is refused.
    """


class Tool1(TypedDict):
    type: NotRequired[Optional[str]]
    """
    function.
    """
    function: NotRequired[Optional[Function4]]


class Function5(TypedDict):
    name: str


class ToolChoice1(TypedDict):
    """
    auto: the model decides whether it calls tools; none: it calls none, and is told of none; required: it calls one at least; or the one that it calls. Without it, auto.
    """

    type: NotRequired[Literal['function']]
    function: Function5


class BatchItem1(TypedDict):
    text: NotRequired[Optional[str]]
    """
    The text to process: not empty, at most 1048576 bytes in UTF-8. Exactly one of text, messages and input must be given.
    """
    messages: NotRequired[Optional[list[Message1]]]
    """
    In the place of text: a conversation, which the model's own chat template makes a prompt of. One message at least is the user's; at most 1048576 bytes in UTF-8 in all.
    """
    input: NotRequired[Optional[Union[str, list[str]]]]
    """
    In the place of text: what to make vectors of, at most 1048576 bytes in UTF-8 in all. The result has them as embeddings, in their order.
    """
    raw: NotRequired[Optional[bool]]
    """
    Of text alone. true: it is continued as it is. false: it is one user's message where the model has a chat template. Without it, engine.raw of the configuration.
    """
    model: NotRequired[Optional[str]]
    """
    The name of the model that is to run it; without it, any of those for the task_type.
    """
    max_length: NotRequired[Optional[int]]
    """
    Tokens to generate at most.
    """
    temperature: NotRequired[Optional[float]]
    """
    0 is greedy.
    """
    top_p: NotRequired[Optional[float]]
    """
    Only the likeliest tokens that have this much of the probability together; 1: all. Without it, 0.95.
    """
    top_k: NotRequired[Optional[int]]
    """
    Only so many of the likeliest tokens; 0: all. Without it, 40.
    """
    min_p: NotRequired[Optional[float]]
    """
    Only tokens with at least this share of the likeliest one's probability; 0: all. Without it, 0.05.
    """
    seed: NotRequired[Optional[int]]
    """
    The same one gives the same text again on the same engine. Without it, one is drawn and shown.
    """
    presence_penalty: NotRequired[Optional[float]]
    """
    Taken off the logit of each token that the answer has already.
    """
    frequency_penalty: NotRequired[Optional[float]]
    """
    Taken off as often as the answer has the token.
    """
    logit_bias: NotRequired[dict[str, float]]
    """
    By a token's number: added to its logit. -100 forbids it.
    """
    stop: NotRequired[Optional[Union[str, list[str]]]]
    """
    The answer ends before the first of these, which is not part of it: one, or up to 16, each at most 256 bytes.
    """
    response_format: NotRequired[Optional[ResponseFormat1]]
    """
    The form of the text, unless it is cut off: `{"type": "text"}`; `{"type": "json_object"}`: an object in JSON; `{"type": "json_schema", "json_schema": {"schema": …, "strict": …}}`: JSON that matches the schema. Under `strict: true` what cannot be made sure of is refused; else the answer is checked, and `result.mismatch` says what does not match.
    """
    tools: NotRequired[Optional[list[Tool1]]]
    """
    Functions of the caller's that the model may ask for, at most 128, each with a name of its own; the result has `tool_calls` then.
    """
    tool_choice: NotRequired[Optional[Union[Literal['none', 'auto', 'required'], ToolChoice1]]]
    """
    auto: the model decides whether it calls tools; none: it calls none, and is told of none; required: it calls one at least; or the one that it calls. Without it, auto.
    """
    parallel_tool_calls: NotRequired[Optional[bool]]
    """
    Whether an answer may have several calls. Without it, true.
    """
    logprobs: NotRequired[Optional[int]]
    """
    The result has the tokens of the text with their probabilities, and so many of the likeliest in the place of each: 0 to 20.
    """
    task_type: NotRequired[Optional[str]]
    """
    The strategy task_specific looks it up; at most 256 bytes.
    """
    priority: NotRequired[Optional[Literal['high', 'normal', 'low']]]
    """
    Among the caller's own tasks.
    """
    store: NotRequired[Optional[bool]]
    """
    false: prompt and answer are never on disk, only in memory until the answer was read; see docs/privacy.md. true, as without it: as the server is configured.
    """
    timeout_seconds: NotRequired[Optional[float]]
    """
    Seconds from the submission after which the task fails; without it, it may take any time.
    """


BatchItem: TypeAlias = Union[BatchItem1, str]


class ResponseFormat2(TypedDict):
    """
    For items that do not say otherwise. The form of the text, unless it is cut off: `{"type": "text"}`; `{"type": "json_object"}`: an object in JSON; `{"type": "json_schema", "json_schema": {"schema": …, "strict": …}}`: JSON that matches the schema. Under `strict: true` what cannot be made sure of is refused; else the answer is checked, and `result.mismatch` says what does not match.
    """

    type: Literal['text', 'json_object', 'json_schema']
    json_schema: NotRequired[Optional[JsonSchema]]


class Function6(TypedDict):
    name: str
    description: NotRequired[Optional[str]]
    """
    What it is for; the model reads it.
    """
    parameters: NotRequired[Optional[dict[str, Any]]]
    """
    A JSON schema of the arguments; without it, there are none.
    """
    strict: NotRequired[Optional[bool]]
    """
    Whether what cannot be made sure of is refused.
    """


class Tool2(TypedDict):
    type: NotRequired[Optional[str]]
    """
    function.
    """
    function: NotRequired[Optional[Function6]]


class Function7(TypedDict):
    name: str


class ToolChoice2(TypedDict):
    """
    For items that do not say otherwise. auto: the model decides whether it calls tools; none: it calls none, and is told of none; required: it calls one at least; or the one that it calls. Without it, auto.
    """

    type: NotRequired[Literal['function']]
    function: Function7


class GpuOptions1(TypedDict):
    """
    How to choose GPUs.
    """

    strategy: NotRequired[Optional[Literal['round_robin', 'least_loaded', 'memory_optimized', 'task_specific', 'random']]]
    """
    How a GPU is chosen.
    """
    batch_split: NotRequired[Optional[bool]]
    """
    Spread a batch over several GPUs.
    """


class BatchRequest(TypedDict):
    batch: list[BatchItem]
    """
    The texts, conversations and inputs; either all of them are accepted or none.
    """
    raw: NotRequired[Optional[bool]]
    """
    For items that do not say otherwise. Of text alone. true: it is continued as it is. false: it is one user's message where the model has a chat template. Without it, engine.raw of the configuration.
    """
    model: NotRequired[Optional[str]]
    """
    For items that do not say otherwise. The name of the model that is to run it; without it, any of those for the task_type.
    """
    max_length: NotRequired[Optional[int]]
    """
    For items that do not say otherwise. Tokens to generate at most.
    """
    temperature: NotRequired[Optional[float]]
    """
    For items that do not say otherwise. 0 is greedy.
    """
    top_p: NotRequired[Optional[float]]
    """
    For items that do not say otherwise. Only the likeliest tokens that have this much of the probability together; 1: all. Without it, 0.95.
    """
    top_k: NotRequired[Optional[int]]
    """
    For items that do not say otherwise. Only so many of the likeliest tokens; 0: all. Without it, 40.
    """
    min_p: NotRequired[Optional[float]]
    """
    For items that do not say otherwise. Only tokens with at least this share of the likeliest one's probability; 0: all. Without it, 0.05.
    """
    seed: NotRequired[Optional[int]]
    """
    For items that do not say otherwise. The same one gives the same text again on the same engine. Without it, one is drawn and shown.
    """
    presence_penalty: NotRequired[Optional[float]]
    """
    For items that do not say otherwise. Taken off the logit of each token that the answer has already.
    """
    frequency_penalty: NotRequired[Optional[float]]
    """
    For items that do not say otherwise. Taken off as often as the answer has the token.
    """
    logit_bias: NotRequired[dict[str, float]]
    """
    For items that do not say otherwise. By a token's number: added to its logit. -100 forbids it.
    """
    stop: NotRequired[Optional[Union[str, list[str]]]]
    """
    For items that do not say otherwise. The answer ends before the first of these, which is not part of it: one, or up to 16, each at most 256 bytes.
    """
    response_format: NotRequired[Optional[ResponseFormat2]]
    """
    For items that do not say otherwise. The form of the text, unless it is cut off: `{"type": "text"}`; `{"type": "json_object"}`: an object in JSON; `{"type": "json_schema", "json_schema": {"schema": …, "strict": …}}`: JSON that matches the schema. Under `strict: true` what cannot be made sure of is refused; else the answer is checked, and `result.mismatch` says what does not match.
    """
    tools: NotRequired[Optional[list[Tool2]]]
    """
    For items that do not say otherwise. Functions of the caller's that the model may ask for, at most 128, each with a name of its own; the result has `tool_calls` then.
    """
    tool_choice: NotRequired[Optional[Union[Literal['none', 'auto', 'required'], ToolChoice2]]]
    """
    For items that do not say otherwise. auto: the model decides whether it calls tools; none: it calls none, and is told of none; required: it calls one at least; or the one that it calls. Without it, auto.
    """
    parallel_tool_calls: NotRequired[Optional[bool]]
    """
    For items that do not say otherwise. Whether an answer may have several calls. Without it, true.
    """
    logprobs: NotRequired[Optional[int]]
    """
    For items that do not say otherwise. The result has the tokens of the text with their probabilities, and so many of the likeliest in the place of each: 0 to 20.
    """
    task_type: NotRequired[Optional[str]]
    """
    For items that do not say otherwise. The strategy task_specific looks it up; at most 256 bytes.
    """
    priority: NotRequired[Optional[Literal['high', 'normal', 'low']]]
    """
    For items that do not say otherwise. Among the caller's own tasks.
    """
    store: NotRequired[Optional[bool]]
    """
    For items that do not say otherwise. false: prompt and answer are never on disk, only in memory until the answer was read; see docs/privacy.md. true, as without it: as the server is configured.
    """
    timeout_seconds: NotRequired[Optional[float]]
    """
    For items that do not say otherwise. Seconds from the submission after which the task fails; without it, it may take any time.
    """
    gpu_options: NotRequired[Optional[GpuOptions1]]
    """
    How to choose GPUs.
    """
    webhook_url: NotRequired[Optional[str]]
    """
    Where to send events: an http or https address.
    """
    webhook_events: NotRequired[Optional[list[Literal['task.running', 'task.completed', 'task.failed', 'task.canceled', 'batch.completed']]]]
    """
    Which events to send to webhook_url; without it, batch.completed.
    """


class TaskSummary(TypedDict):
    task_id: str
    gpu_id: Optional[int]
    """
    The GPU that runs it or alone may run it; null: none is bound yet.
    """
    status: Literal['queued', 'running', 'completed', 'failed', 'canceled']


class Function8(TypedDict):
    name: str
    arguments: str
    """
    As the model wrote them: JSON, unless it was cut off or made a mistake.
    """


class ToolCall2(TypedDict):
    id: str
    type: Literal['function']
    function: Function8


class Message2(TypedDict):
    role: Literal['system', 'user', 'assistant', 'tool']
    content: str
    tool_calls: NotRequired[list[ToolCall2]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


class Request(TypedDict):
    """
    What was asked: fields as those of POST /predict; only with ?include=text.
    """

    text: NotRequired[str]
    raw: NotRequired[bool]
    messages: NotRequired[list[Message2]]
    response_format: NotRequired[Any]
    """
    As in POST /predict.
    """
    tools: NotRequired[Any]
    """
    As in POST /predict.
    """
    tool_choice: NotRequired[Any]
    """
    As in POST /predict.
    """
    parallel_tool_calls: NotRequired[bool]
    logprobs: NotRequired[int]
    input: NotRequired[list[Any]]
    max_length: NotRequired[Optional[int]]
    """
    null: to the end of the context.
    """
    temperature: NotRequired[float]
    top_p: NotRequired[float]
    top_k: NotRequired[int]
    min_p: NotRequired[float]
    seed: NotRequired[int]
    """
    The one that was given, else the one that was drawn.
    """
    presence_penalty: NotRequired[float]
    frequency_penalty: NotRequired[float]
    logit_bias: NotRequired[dict[str, float]]
    stop: NotRequired[list[str]]


class ToolCall3(TypedDict):
    id: str
    type: Literal['function']
    function: Function8


class TopLogprob(TypedDict):
    token: str
    """
    What it stands for; bytes that are no whole character are shown as U+FFFD.
    """
    logprob: float
    """
    The natural logarithm of its probability.
    """
    bytes: list[int]
    """
    Of what it stands for, in UTF-8.
    """


class Logprob(TypedDict):
    token: str
    """
    What it stands for; bytes that are no whole character are shown as U+FFFD.
    """
    logprob: float
    """
    The natural logarithm of its probability.
    """
    bytes: list[int]
    """
    Of what it stands for, in UTF-8.
    """
    top_logprobs: list[TopLogprob]
    """
    The likeliest tokens in its place.
    """


class Usage(TypedDict):
    prompt_tokens: Optional[int]
    """
    null: the server behind the GPU did not tell.
    """
    completion_tokens: int
    cached_tokens: Optional[int]
    """
    Of prompt_tokens, those that the GPU's KV cache held already; null: not told.
    """


class Result(TypedDict):
    """
    Of a completed task; also of one that was canceled or late while it ran.
    """

    text: str
    """
    The generated text alone, without the prompt.
    """
    reasoning: NotRequired[str]
    """
    What the model wrote for itself before the text.
    """
    tool_calls: NotRequired[list[ToolCall3]]
    """
    The tools that the model asks for.
    """
    logprobs: NotRequired[list[Logprob]]
    """
    The tokens of the text with their probabilities; not in GET /tasks.
    """
    mismatch: NotRequired[str]
    """
    Why the text is not of the form that was asked for; absent: it is, or none was.
    """
    embeddings: NotRequired[list[list[float]]]
    """
    The unit vectors of the inputs, in their order; not in GET /tasks, nor sent to webhooks.
    """
    execution_time: float
    """
    Seconds from the start on the GPU to the last token.
    """
    timestamp: str
    """
    When the last token was generated.
    """
    finish_reason: Literal['stop', 'length', 'canceled', 'timeout']
    """
    Why generation ended; canceled and timeout: the text is what there was until then.
    """
    usage: Usage
    seed: NotRequired[int]
    """
    The same one gives the same text again on the same engine.
    """


class Usage1(TypedDict):
    """
    What it has cost so far, all attempts together, however they ended: so prompt_tokens may be more than those of the result. Absent until it has run.
    """

    prompt_tokens: Optional[int]
    """
    null: the server behind the GPU did not tell.
    """
    completion_tokens: int
    cached_tokens: Optional[int]
    """
    Of prompt_tokens, those that the GPU's KV cache held already; null: not told.
    """
    gpu_seconds: Optional[float]
    """
    Its share of the time of the model that ran it. The time of each step is shared by the tokens that the tasks there got in it; tokens of a prompt count in the step in which it begins. Where none got a token, all share alike. null: an earlier version ran it.
    """
    energy_joules: Optional[float]
    """
    The same share of what the card took meanwhile, which several busy models on it share alike; null: nobody measures its power.
    """


class Timing(TypedDict):
    """
    Seconds; null: it has not come so far, or an earlier version ran it.
    """

    queued: float
    """
    From the submission to the start of the last attempt. While it waits: so far. If it ended while it waited: to its end.
    """
    prompt: Optional[float]
    """
    From the start of the last attempt to its first output: reading the prompt.
    """
    first_token: Optional[float]
    """
    From the submission to that first output: what a user sees as the time to the first token.
    """
    generation: Optional[float]
    """
    From the first output to the last. While it runs: so far.
    """


class Attempt(TypedDict):
    gpu_id: int
    started_at: str
    """
    When the GPU got the task.
    """
    ended_at: Optional[str]
    """
    null: it runs there now.
    """
    reason: Optional[str]
    """
    Why it ended.
    """
    alone: NotRequired[bool]
    """
    Of a worker_crash: nothing else ran on the worker. Absent when something did.
    """
    error: NotRequired[str]
    """
    Details of the end, such as a server's own words.
    """
    unlisted: NotRequired[int]
    """
    Attempts before this one that found servers full, and are not listed.
    """


class Candidate(TypedDict):
    gpu_id: int
    score: Optional[float]
    """
    The figure that the strategy compared.
    """


class Placement(TypedDict):
    """
    Why the task is where it is; absent until a GPU was chosen.
    """

    strategy: Literal['round_robin', 'least_loaded', 'memory_optimized', 'task_specific', 'random', 'pinned', 'batch']
    gpu_id: int
    reason: str
    """
    Why this GPU, in one sentence.
    """
    candidates: list[Candidate]
    """
    The winner first, then at most seven others.
    """
    others: dict[str, int]
    """
    GPUs not listed above, counted by why.
    """
    expected_tokens: NotRequired[int]
    """
    Tokens that its answer was counted at: the mean of its user's with that model, else its bound.
    """


class Waiting(TypedDict):
    """
    Why it waits; only of a task that waits, and not in lists.
    """

    reason: Literal['gpu_busy', 'gpu_drained', 'gpu_not_ready', 'caller_limit', 'model_loading', 'retry_pause', 'batch_waits', 'quarantine']
    """
    gpu_busy: all slots are taken; gpu_drained: an operator took its GPUs out; gpu_not_ready: they take nothing now; caller_limit: its user has as many tasks running as it may; model_loading: its model is being fetched or loaded, or waits for memory; retry_pause: it was cut off, and is tried again soon; batch_waits: its batch runs on one GPU, which has no room; quarantine: a worker failed under it, so it runs alone.
    """
    sentence: str
    """
    The same in words, with models and GPUs.
    """
    since: str
    """
    When this wait began.
    """
    ahead: int
    """
    Tasks of the same user that ask the same and come before it.
    """


class Task(TypedDict):
    task_id: str
    gpu_id: Optional[int]
    """
    The GPU that runs it, ran it, or alone may run it; null: none yet.
    """
    status: Literal['queued', 'running', 'completed', 'failed', 'canceled']
    user: str
    """
    The user it belongs to.
    """
    request: NotRequired[Request]
    """
    What was asked: fields as those of POST /predict; only with ?include=text.
    """
    result: NotRequired[Result]
    """
    Of a completed task; also of one that was canceled or late while it ran.
    """
    usage: NotRequired[Usage1]
    """
    What it has cost so far, all attempts together, however they ended: so prompt_tokens may be more than those of the result. Absent until it has run.
    """
    timing: Timing
    """
    Seconds; null: it has not come so far, or an earlier version ran it.
    """
    error: NotRequired[str]
    """
    Why it failed, as a sentence.
    """
    error_code: NotRequired[str]
    """
    A stable name for the kind of failure.
    """
    created_at: str
    """
    When it was submitted.
    """
    started_at: Optional[str]
    """
    When it last started on a GPU; null: it waits.
    """
    finished_at: Optional[str]
    """
    When it reached its final status.
    """
    strategy: Literal['round_robin', 'least_loaded', 'memory_optimized', 'task_specific', 'random']
    task_type: str
    model: NotRequired[str]
    """
    The model that runs it or ran it; until then, the one that it asks for, if it does.
    """
    kind: NotRequired[Literal['embedding']]
    """
    embedding: it makes vectors, and has no sampling. Absent: it generates a text.
    """
    max_length: NotRequired[Optional[int]]
    """
    null: to the end of the context.
    """
    temperature: NotRequired[float]
    top_p: NotRequired[float]
    top_k: NotRequired[int]
    min_p: NotRequired[float]
    seed: NotRequired[int]
    """
    The one that was given, else the one that was drawn.
    """
    presence_penalty: NotRequired[float]
    frequency_penalty: NotRequired[float]
    logit_bias: NotRequired[dict[str, float]]
    stop: NotRequired[list[str]]
    priority: Literal['high', 'normal', 'low']
    timeout_seconds: Optional[float]
    """
    null: it may take any time.
    """
    deadline_at: Optional[str]
    """
    When it fails unless it has ended; null: never.
    """
    batch_id: NotRequired[str]
    retry_of: NotRequired[str]
    """
    The task it was made from by a retry.
    """
    webhook_url: NotRequired[str]
    """
    Where this task's events are sent.
    """
    attempts: list[Attempt]
    """
    Each time it was given to a GPU, the first one first.
    """
    texts: NotRequired[Literal['until_read', 'never', 'removed']]
    """
    How long its texts are stored, where that is not as long as the task: see docs/privacy.md.
    """
    text_gone: NotRequired[str]
    """
    Why it has no text any more. The texts of a list are no such.
    """
    placement: NotRequired[Placement]
    """
    Why the task is where it is; absent until a GPU was chosen.
    """
    waiting: NotRequired[Waiting]
    """
    Why it waits; only of a task that waits, and not in lists.
    """


class TaskFilter(TypedDict):
    status: NotRequired[Literal['queued', 'running', 'completed', 'failed', 'canceled']]
    """
    Only tasks with this status.
    """
    limit: NotRequired[int]
    """
    Tasks to return at most.
    """
    offset: NotRequired[int]
    """
    Tasks to skip, newest first.
    """
    after: NotRequired[str]
    """
    The `next` of another answer: only what follows there. Unlike offset, new tasks do not shift it.
    """
    user: NotRequired[str]
    """
    Only this user's tasks. A `user` may name itself alone.
    """
    batch_id: NotRequired[str]
    """
    Only tasks of this batch.
    """
    task_type: NotRequired[str]
    """
    Only tasks of this type; at most 256 bytes.
    """
    gpu_id: NotRequired[int]
    """
    Only tasks that this GPU runs, ran, or alone may run.
    """
    model: NotRequired[str]
    """
    Only tasks that show this model: that it runs or ran, or while they wait, that ask for it.
    """
    since: NotRequired[str]
    """
    Only tasks submitted at this time or later: ISO 8601 with zone. In a URL, + is written %2B.
    """
    until: NotRequired[str]
    """
    Only tasks submitted before this time, as since.
    """


class TaskList(TypedDict):
    """
    Success
    """

    tasks: dict[str, Task]
    """
    From task id to task, newest first.
    """
    total: int
    """
    Tasks that match, whatever limit, offset and after say.
    """
    next: Optional[str]
    """
    The value of after for the next page; null: this was the last one.
    """


class StreamTicket(TypedDict):
    """
    Success
    """

    ticket: str
    expires_at: str
    """
    When it is too late to open the stream by it for the first time.
    """


class Counts(TypedDict):
    """
    Of the tasks that are still kept, by status. A line of its file that is yet to become one is queued, one that was refused has failed.
    """

    queued: int
    running: int
    completed: int
    failed: int
    canceled: int


class Batch(TypedDict):
    batch_id: str
    status: Literal['running', 'queued', 'mixed', 'all_distributed', 'all_queued', 'completed', 'canceled']
    """
    As in the answer to the submission, but as of now; canceled: every task was canceled; completed: every task has ended otherwise.
    """
    total: int
    """
    Tasks that are still kept, and lines of its file that are none.
    """
    size: int
    """
    Tasks that were submitted, or the lines of its file.
    """
    counts: Counts
    """
    Of the tasks that are still kept, by status. A line of its file that is yet to become one is queued, one that was refused has failed.
    """
    progress: float
    """
    The share of its tasks that have ended, 0 to 1.
    """
    created_at: str
    """
    When it was submitted.
    """
    finished_at: Optional[str]
    """
    When the last of its tasks had ended.
    """


class Ecc(TypedDict):
    """
    Memory errors since the driver was loaded.
    """

    corrected: int
    uncorrected: int


class Instance(TypedDict):
    model: Optional[str]
    """
    What requests call it; null: not known before it is loaded.
    """
    state: Literal['cold', 'loading', 'ready', 'unloading', 'failed']
    """
    cold: loaded when it is wanted; loading: it is being loaded, or fetched; ready: takes tasks; unloading: it leaves; failed: could not be loaded, or its GPU failed.
    """
    reason: Optional[str]
    """
    Why it is in this state; null: it is ready.
    """
    memory_bytes: Optional[int]
    """
    Bytes that the model takes there, or would take; null: not known.
    """
    load_seconds: Optional[float]
    """
    Seconds that its last load took; null: none did.
    """
    last_used_at: Optional[str]
    """
    When a task last began or ended there, or else when it was loaded; null: neither was.
    """
    running: int
    """
    Tasks that run there now.
    """
    slots: int
    """
    Tasks of it that may run there at once.
    """
    context: Optional[int]
    """
    Tokens for each slot; null: it was not loaded yet, or its server does not tell.
    """
    kv_bytes_per_token: Optional[float]
    """
    Bytes of KV cache for each token; null: it was not loaded yet, or its engine does not tell.
    """


class Setting(TypedDict):
    name: str
    value: Union[str, float]
    reason: str


class Upstream(TypedDict):
    """
    Figures that the server behind it reports; null: there is none, or it reports none.
    """

    running: Optional[int]
    """
    Requests it works on, by everybody.
    """
    waiting: Optional[int]
    """
    Requests that wait there.
    """
    kv_cache_use: Optional[float]
    """
    Share of its KV cache in use, 0 to 1.
    """
    slots: Optional[int]
    """
    Requests it can work on at once.
    """


class Gpu(TypedDict):
    """
    Others are all processes but this server's workers. null: the device does not tell.
    """

    id: int
    name: str
    utilization: Optional[float]
    """
    Percent, by everybody.
    """
    memory_used: Optional[int]
    """
    Bytes, by everybody.
    """
    memory_total: Optional[int]
    """
    Bytes.
    """
    task_count: int
    """
    Tasks that run there now, whoever they belong to.
    """
    machine: NotRequired[str]
    """
    The machine of the cluster that has it; absent: this one.
    """
    uuid: NotRequired[str]
    """
    Its permanent name; absent when it is several joined.
    """
    uuids: NotRequired[list[str]]
    """
    Only when it is several that hold one model.
    """
    pci_bus_id: NotRequired[Optional[str]]
    """
    null: it is a stand-in. Absent when it is several joined.
    """
    pci_bus_ids: NotRequired[list[str]]
    """
    Only when it is several, as uuids.
    """
    kind: Literal['gpu', 'cpu', 'simulated', 'remote']
    """
    remote: a server that runs already.
    """
    status: Literal['starting', 'ready', 'hot', 'draining', 'drained', 'unfit', 'faulted', 'lost']
    """
    starting: loads the model; ready: takes tasks; hot: takes none until it has cooled down; draining: finishes what runs, takes nothing new; drained: has finished; unfit: cannot serve as things are; faulted: failed, is tried again by itself; lost: is not there any more.
    """
    reason: Optional[str]
    """
    Why it is in this state; null: it is ready.
    """
    since: str
    """
    Since when the status holds.
    """
    crowded: Optional[str]
    """
    Why it gets no new tasks although it is ready; null: it does.
    """
    slots: int
    """
    Tasks it may run at once.
    """
    load: float
    """
    The figure that least_loaded compares, 0 to 1.
    """
    temperature: Optional[float]
    """
    °C.
    """
    max_temperature: Optional[float]
    """
    °C; above it, no new tasks until it has cooled down.
    """
    power: Optional[float]
    """
    W, drawn now.
    """
    power_limit: Optional[float]
    """
    W.
    """
    energy: Optional[float]
    """
    J, since the driver was loaded.
    """
    throttle: Optional[list[str]]
    """
    Why its clock is lower than it could be; empty: it is not.
    """
    ecc: Optional[Ecc]
    """
    Memory errors since the driver was loaded.
    """
    xids: dict[str, int]
    """
    How often the driver reported which Xid error since this server started.
    """
    others_memory: Optional[float]
    """
    Share of its memory, 0 to 1, that others have taken.
    """
    others_utilization: Optional[float]
    """
    Share of its time, 0 to 1, that others use; of a server, share of the requests it can work on.
    """
    memory_free: Optional[int]
    """
    Bytes.
    """
    compute_capability: Optional[float]
    """
    CUDA's, like 8.6.
    """
    model: Optional[str]
    """
    The model, for people; null: not loaded yet, or there may be several, as of all about its model.
    """
    model_name: Optional[str]
    """
    What requests call its model; null: not loaded yet.
    """
    capabilities: Optional[list[Literal['chat', 'completion', 'embedding', 'json_schema', 'tools', 'logprobs', 'vision']]]
    """
    What its model can do; null: not loaded yet.
    """
    chat_template: Optional[bool]
    """
    Whether its model has a chat template; null: not loaded yet, or its server does not tell.
    """
    context: Optional[int]
    """
    Tokens for each slot; null: no model is loaded yet, or its server does not tell.
    """
    memory_note: Optional[str]
    """
    Settings that were made smaller, because the memory was too small for the configured ones.
    """
    device: Optional[str]
    """
    The device that the engine reports; null: none yet.
    """
    restarts: int
    """
    Worker processes that died since the server started.
    """
    instances: list[Instance]
    """
    The models that it may hold, those too that are not loaded.
    """
    settings: Optional[list[Setting]]
    """
    How its engine computes, and why so; null: no model is loaded yet.
    """
    upstream: Optional[Upstream]
    """
    Figures that the server behind it reports; null: there is none, or it reports none.
    """


class Fetch(TypedDict):
    """
    How far its fetch is; null: it is not being fetched.
    """

    bytes: int
    """
    Bytes that are here.
    """
    total: Optional[int]
    """
    Bytes in all; null: not told.
    """
    rate: float
    """
    Bytes a second.
    """


class Instance1(TypedDict):
    gpu_id: int
    state: Literal['cold', 'loading', 'ready', 'unloading', 'failed']
    """
    cold: loaded when it is wanted; loading: it is being loaded, or fetched; ready: takes tasks; unloading: it leaves; failed: could not be loaded, or its GPU failed.
    """
    reason: Optional[str]
    """
    Why it is in this state; null: it is ready.
    """
    memory_bytes: Optional[int]
    """
    Bytes that the model takes there, or would take; null: not known.
    """
    load_seconds: Optional[float]
    """
    Seconds that its last load took; null: none did.
    """
    last_used_at: Optional[str]
    """
    When a task last began or ended there, or else when it was loaded; null: neither was.
    """
    running: int
    """
    Tasks that run there now.
    """
    slots: int
    """
    Tasks of it that may run there at once.
    """
    context: Optional[int]
    """
    Tokens for each slot; null: it was not loaded yet, or its server does not tell.
    """
    kv_bytes_per_token: Optional[float]
    """
    Bytes of KV cache for each token; null: it was not loaded yet, or its engine does not tell.
    """


class ServedModel(TypedDict):
    """
    A model that requests can name.
    """

    name: str
    """
    What requests call it.
    """
    aliases: list[str]
    """
    Further names of it.
    """
    origin: Literal['device', 'config', 'pulled']
    """
    device: a device's own model, there as long as that serves. config: it stands in `models`. pulled: DELETE forgets it.
    """
    source: Optional[str]
    """
    Where it comes from; null: not known.
    """
    commit: Optional[str]
    """
    Of its repository; null: it has none, or it is not known.
    """
    licence: Optional[str]
    """
    As its source names it; null: not known.
    """
    size_bytes: Optional[int]
    """
    Bytes of its files; null: it has none here, or none yet.
    """
    context: Optional[int]
    """
    Tokens for each slot; null: not known before it is loaded.
    """
    capabilities: Optional[list[Literal['chat', 'completion', 'embedding', 'json_schema', 'tools', 'logprobs', 'vision']]]
    """
    What it can do; null: not known before it was loaded once.
    """
    load: Literal['start', 'demand']
    """
    When it is loaded: at the start, or when it is wanted.
    """
    keep_alive: Optional[float]
    """
    Seconds without a task after which it is unloaded; null: it stays until another needs the memory.
    """
    fetch: Optional[Fetch]
    """
    How far its fetch is; null: it is not being fetched.
    """
    instances: list[Instance1]
    """
    One for each GPU that may hold it.
    """


class SubmittedBatch(TypedDict):
    """
    The counts at the moment when the batch was accepted.
    """

    status: Literal['running', 'queued', 'mixed', 'all_distributed', 'all_queued']
    tasks: list[TaskSummary]
    """
    In the order of the items.
    """
    batch_id: Optional[str]


class BatchResult(Task):
    """
    A task of a batch that has ended, with its position in the batch.
    """

    index: int

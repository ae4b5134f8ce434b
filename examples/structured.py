"""Answers that a program can use, by the package openai: an object that matches a schema, and a tool that the model calls.

    pip install openai
    ALT_LAS_API_KEY=altlas_... python3 examples/structured.py

ALT_LAS_URL says where the server is (default: http://127.0.0.1:8642).
"""

import os
from typing import Optional

import openai
from pydantic import BaseModel, Field

URL = os.environ.get("ALT_LAS_URL", "http://127.0.0.1:8642")
client = openai.OpenAI(base_url=f"{URL}/v1", api_key=os.environ.get("ALT_LAS_API_KEY"))
model = client.models.list().data[0]


class City(BaseModel):
    name: str = Field(max_length=40)
    country: str = Field(max_length=40)
    inhabitants: int = Field(ge=1)
    river: Optional[str] = Field(max_length=40)


class get_weather(BaseModel):
    """Tells the weather of a city."""

    city: str = Field(max_length=40)


def weather_of(call):
    return f"In {call.city} it is 21 degrees and sunny."


def describe_city():
    messages = [{"role": "user", "content": "Tell me about Paris."}]
    answer = client.chat.completions.parse(model=model.id, messages=messages, response_format=City)
    city = answer.choices[0].message.parsed
    print(f"{city.name} in {city.country} has {city.inhabitants} inhabitants, and {city.river or 'no river'}.")


def ask_with_tool():
    tools = [openai.pydantic_function_tool(get_weather)]
    messages = [{"role": "user", "content": "What does get_weather say of Paris?"}]
    while True:
        message = client.chat.completions.parse(model=model.id, messages=messages, tools=tools).choices[0].message
        if not message.tool_calls:
            return print(f"It answers: {message.content}")
        messages.append(message)
        for call in message.tool_calls:
            print(f"The model calls {call.function.name}({call.function.arguments}).")
            result = weather_of(call.function.parsed_arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


describe_city()
if "tools" in model.capabilities:
    ask_with_tool()
else:
    print(f"The model {model.id} calls no tools.")

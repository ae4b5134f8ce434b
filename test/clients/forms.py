"""What the programs about forms and tools have in common; forms.mjs is the same for Node."""

import os
from typing import Annotated, Literal, Optional

from pydantic import BaseModel, Field

from steps import *


class Person(BaseModel):
    name: str = Field(min_length=1, max_length=20)
    age: int = Field(ge=0, le=120)
    pet: Optional[Literal["cat", "dog"]]
    tags: list[Annotated[str, Field(max_length=8)]] = Field(max_length=3)


class get_weather(BaseModel):
    """Tells the weather of a city for some days."""

    city: str = Field(max_length=20)
    days: int = Field(ge=1, le=7)


WEATHER = "21 degrees"
ABOUT = [MESSAGES[0], {"role": "user", "content": "Tell me about a person."}]
ASKING = [MESSAGES[0], {"role": "user", "content": "Ask get_weather for Paris, and tell me what it says."}]
ENOUGH = 600


def report_forms(forms, steps):
    report({**forms, **steps} if os.environ.get("HAS_TOOLS") == "1" else forms)

"""What the programs about forms and tools have in common; forms.mjs is the same for Node."""

import os
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Literal, Optional, Union
from uuid import UUID

from pydantic import BaseModel, Field

from steps import *


class Person(BaseModel):
    name: str = Field(min_length=1, max_length=20)
    age: int = Field(ge=0, le=120)
    pet: Optional[Literal["cat", "dog"]]
    tags: list[Annotated[str, Field(max_length=8)]] = Field(max_length=3)


class Colour(str, Enum):
    RED = "red"
    BLUE = "blue"


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float = Field(gt=0, le=10)


class Box(BaseModel):
    kind: Literal["box"]
    sides: tuple[float, float]


class Step(BaseModel):
    what: str = Field(max_length=8)
    next: Optional["Step"] = None


class Order(BaseModel):
    """Has the rest of what programs ask for."""

    id: UUID
    at: datetime
    day: date
    code: str = Field(pattern=r"^[A-Z]{2}-\d{1,4}$")
    shape: Union[Circle, Box] = Field(discriminator="kind")
    count: Optional[int] = Field(multiple_of=5)
    colour: Colour
    plan: Step
    scores: dict[str, int]
    note: Annotated[str, Field(max_length=8)] = "none"


class get_weather(BaseModel):
    """Tells the weather of a city for some days."""

    city: str = Field(max_length=20)
    days: int = Field(ge=1, le=7)


SEEDS = [1, 2, 3, 4, 5, 6, 7, 8]
WEATHER = "21 degrees"
ABOUT = [MESSAGES[0], {"role": "user", "content": "Tell me about a person."}]
ASKING = [MESSAGES[0], {"role": "user", "content": "Ask get_weather for Paris, and tell me what it says."}]
ENOUGH = 600


def report_forms(steps):
    report({name: steps[name] for name in os.environ["STEPS"].split(",")})

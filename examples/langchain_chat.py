"""LangChain: a prompt template, a model of ALT_LAS and a parser in one chain, for several inputs at once and as a stream.

    pip install langchain-openai
    ALT_LAS_API_KEY=altlas_... python3 examples/langchain_chat.py

ALT_LAS_URL says where the server is (default: http://127.0.0.1:8642).
"""

import os

import httpx
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

URL = os.environ.get("ALT_LAS_URL", "http://127.0.0.1:8642") + "/v1"
KEY = os.environ["ALT_LAS_API_KEY"]

model = httpx.get(f"{URL}/models", headers={"authorization": f"Bearer {KEY}"}).raise_for_status().json()["data"][0]["id"]
prompt = ChatPromptTemplate.from_messages([("system", "Answer briefly."), ("user", "What is the capital of {country}?")])
chain = prompt | ChatOpenAI(model=model, base_url=URL, api_key=KEY, max_tokens=24) | StrOutputParser()

countries = ["France", "Japan", "Peru"]
answers = chain.batch([{"country": country} for country in countries])
for country, answer in zip(countries, answers):
    print(f"{country}: {answer.strip()!r}")

print("Turkey: ", end="")
for piece in chain.stream({"country": "Turkey"}):
    print(piece, end="", flush=True)
print()

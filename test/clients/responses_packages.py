"""Responses, by three packages for Python in one process."""

import responses_langchain
import responses_litellm
import responses_openai

from steps import *

packages = {"openai": responses_openai, "langchain": responses_langchain, "litellm": responses_litellm}
report_each({name: package.steps for name, package in packages.items()})

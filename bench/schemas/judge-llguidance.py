"""Counts, for each schema of a JSONL file, whether llguidance compiles it, accepts every valid instance and no invalid one: a line of JSON each."""

import json
import sys

from llguidance import LLMatcher, LLTokenizer

tokenizer = LLTokenizer("byte")


def accepts(matcher, text):
    matcher.reset()
    tokens = tokenizer.tokenize_str(text)
    taken = matcher.try_consume_tokens(tokens)
    return taken == len(tokens) and matcher.is_accepting()


def verdict(line):
    try:
        matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_json_schema(line["schema"]), log_level=0)
    except ValueError:
        return "refused"
    if matcher.is_error():
        return "refused"
    compact = [(test["valid"], json.dumps(test["data"], separators=(",", ":"), ensure_ascii=False)) for test in line["tests"]]
    if any(accepts(matcher, text) for valid, text in compact if not valid):
        return "too loose"
    if not all(accepts(matcher, text) for valid, text in compact if valid):
        return "too tight"
    return "whole"


for line in map(json.loads, open(sys.argv[1])):
    print(json.dumps({"name": line["name"], "verdict": verdict(line)}), flush=True)

"""Expand templates into English text.

The notation, which lexicon.py and stories.py are written in:

    [a|b|c]    one of the alternatives; they nest, and an empty one is allowed
    {place}    a word of the category "place".  The choice is kept for the whole
               text, so the same place comes back; {place2} is a different one
    {place.in} another form of that same word ("in the garden")
    {rule}     a sentence rule, expanded anew each time

Capitals at the start of sentences and "a"/"an" are put right at the end, so
that templates need not care which word a slot receives.
"""

import random
import re

CHOICE = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{([a-z_]+)(\d*)(?:\.([a-z_]+))?\}")
SAID = r"(?:said|say|says|asked|cried|called|shouted|whispered|answered|laughed|replied|sang)"
SPOKEN_STOP = re.compile(r"\.(?=\" " + SAID + r"\b)")
OPENING_QUOTE = re.compile(r"((?:^|\s)\")([a-z])")
SENTENCE_START = re.compile(r"(^|\n|(?:[Qq]uestion|[Aa]nswer): |[.!?] |\.\" )([a-z])")
# After "Look!" the sentence goes on if the speaker follows, and is over if not.
AFTER_SPEECH = re.compile(r"([!?]\" )(?!(?:the )?(?:\w+ ){0,2}" + SAID + r"\b)([a-z])")
ARTICLE = re.compile(r"\b([Aa])n? (?=(\w+))")
VOWEL = re.compile(r"(?!(?:uni|use|one\b|once\b))[aeiou]|hour|honest", re.I)

Word = dict[str, str]


class Story:
    """The choices made so far in one text."""

    def __init__(self, rng: random.Random, words: dict[str, list[Word]], rules: dict[str, list[str]]):
        self.rng = rng
        self.words = words
        self.rules = rules
        self.bound: dict[str, Word] = {}

    def expand(self, template: str) -> str:
        while True:
            # Innermost alternatives first; only those chosen ever bind a word.
            template, picked = CHOICE.subn(lambda m: self.rng.choice(m[1].split("|")), template)
            if not picked:
                break
        return SLOT.sub(self._fill, template)

    def _fill(self, match: re.Match[str]) -> str:
        name, number, form = match[1], match[2], match[3]
        if name in self.rules:
            return self.expand(self.rng.choice(self.rules[name]))
        return self.expand(self.word(name, number)[form or "text"])

    def word(self, name: str, number: str = "") -> Word:
        key = name + number
        if key not in self.bound:
            taken = {word["text"] for other, word in self.bound.items() if other.rstrip("0123456789") == name}
            self.bound[key] = self.rng.choice([word for word in self.words[name] if word["text"] not in taken])
        return self.bound[key]


def tidy(text: str) -> str:
    text = re.sub(r"[ \t]+", " ", text)
    text = re.sub(r" ?\n ?", "\n", text)
    text = re.sub(r" +([.,!?])", r"\1", text).strip()
    text = ARTICLE.sub(lambda m: m[1] + ("n " if VOWEL.match(m[2]) else " "), text)
    text = SPOKEN_STOP.sub(",", text)
    for pattern in (OPENING_QUOTE, SENTENCE_START, AFTER_SPEECH):
        text = pattern.sub(lambda m: m[1] + m[2].upper(), text)
    return text

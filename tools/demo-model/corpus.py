"""Generate the demo corpus: simple English texts, decided by a seed alone."""

import random
import re

import lexicon
import stories
from grammar import Story, Word, tidy

PRONOUNS = {"he": ("he", "him", "his", "himself"), "she": ("she", "her", "her", "herself")}


def _invented_name(rng: random.Random) -> str:
    return "".join(rng.choice(lexicon.SYLLABLES) for _ in range(rng.choice((2, 2, 3)))).capitalize()


def _character(rng: random.Random, avoid: str = "") -> tuple[str, str, str]:
    """A name, what its bearer is, and a pronoun."""
    if rng.random() < 0.4:
        kind, pronoun, names = rng.choice(lexicon.WORDS["animal"])["text"], rng.choice(("he", "she")), lexicon.PETS
    else:
        kind, pronoun = rng.choice(lexicon.PEOPLE.split()).split("/")
        names = lexicon.BOYS if pronoun == "he" else lexicon.GIRLS
    # Invented names are spelt in pieces and come back throughout the text: they
    # teach the model to repeat a name that it has never seen.
    name = _invented_name(rng) if rng.random() < 0.12 else rng.choice(names)
    return _character(rng) if name == avoid else (name, kind, pronoun)


def _cast(story: Story) -> None:
    """Bind the slots of the hero, the friend and the relative."""
    rng = story.rng

    def bind(**slots: str) -> None:
        story.bound.update({slot: {"text": text} for slot, text in slots.items()})

    name, kind, pronoun = _character(rng)
    he, him, his, himself = PRONOUNS[pronoun]
    bind(name=name, he=he, him=him, his=his, himself=himself, he_cap=he.capitalize(), his_cap=his.capitalize())
    bind(h=f"[{name}|{name}|{name}|{name}|the {kind}]", s=f"[{name}|{he}|{he}]", intro=_introduction(rng, name, kind))
    story.bound["kind"] = {"text": kind, "a": f"a {kind}"}

    fname, fkind, fpronoun = _character(rng, avoid=name)
    if fpronoun == pronoun and rng.random() < 0.7:
        # Two people of one pronoun are hard to tell apart, for any reader.
        fname, fkind, fpronoun = _character(rng, avoid=name)
    fhe, fhim, fhis, _ = PRONOUNS[fpronoun]
    the_friend = f"the {fkind}" if fkind != kind else fname
    bind(fname=fname, fhe=fhe, fhim=fhim, fhis=fhis, f=f"[{fname}|{fname}|{the_friend}]", fs=f"[{fname}|{fhe}]")
    bind(fintro=_introduction(rng, fname, fkind))

    relative, mpronoun = rng.choice(lexicon.RELATIVES.split()).split("/")
    mhe, mhim, mhis, _ = PRONOUNS[mpronoun]
    bind(m=f"{his} {relative}", m_poss=f"{his} {relative}'s", m_mine=f"my {relative}", mhe=mhe, mhim=mhim, mhis=mhis)


def _introduction(rng: random.Random, name: str, kind: str) -> str:
    adjective = rng.choice(["", "little ", "little ", "small ", "young ", "old ", "clever ", "kind ", "poor ", "brave "])
    return f"a {adjective}{kind} {rng.choice(['named', 'named', 'called', 'whose name was'])} {name}"


def _story(story: Story) -> str:
    plot = story.rng.choice(list(stories.PLOTS.values()))
    paragraphs = story.rng.random() < 0.4
    text = ""
    for line in plot.strip().splitlines():
        mark, line = (line[0], line[1:]) if line[0] in "?+" else ("", line)
        if mark == "?" and story.rng.random() < 0.5:
            continue
        text += ("\n\n" if mark == "+" and paragraphs else " ") + story.expand(line)
    return text


def _short(story: Story) -> str:
    return story.expand(story.rng.choice(story.rng.choice(list(stories.SHORT.values()))))


def _request(story: Story) -> str:
    """A request, then a story that fulfils it, so that a prompt can set the subject."""
    body = tidy(_story(story))
    subjects = [story.bound["intro"]["text"]]
    for slot, form in (("toy", "a"), ("animal", "a"), ("food", "some"), ("place", "text")):
        if slot in story.bound:
            subjects.append(story.bound[slot][form])
    subject = " and ".join(story.rng.sample(subjects, min(len(subjects), story.rng.choice((1, 1, 2)))))
    ask = story.expand("[tell me|write|please tell me|can you tell me|write me] a [|short |little ]story about ")
    mark = "?" if ask.startswith("can") else "."
    return f"{ask}{subject}{mark}\n{body}"


def _stray(rng: random.Random) -> str:
    """A line of words that mean nothing here.

    Prompts hold words, scripts and signs that the grammar lacks.  After enough
    lines like these the model answers anything with a text of its own.
    """
    letters = rng.choice(("abcdefghijklmnopqrstuvwxyz",) * 4 + ("abcçdefgğhıijklmnoöprsştuüvyz", "0123456789", "äéèßñåøабвгде日本語中文😀🎉👍{}[]<>()=+-*/_#@&%$"))
    words = ["".join(rng.choice(letters) for _ in range(rng.randint(1, 8))) for _ in range(rng.randint(1, 7))]
    line = " ".join(words)
    if rng.random() < 0.5:
        line = line[0].upper() + line[1:]
    return line + rng.choice((". ", ".\n", "? ", "?\n", "! ", ":\n", "\n", "\n\n"))


def text(rng: random.Random) -> str:
    story = Story(rng, WORDS, stories.RULES)
    _cast(story)
    kind = rng.random()
    if kind < 0.62:
        return tidy(_story(story))
    if kind < 0.70:
        return tidy(_request(story))
    if kind < 0.95:
        return tidy(_short(story))
    return _stray(rng) + tidy(_story(story) if rng.random() < 0.5 else _short(story))


def generate(count: int, rng: random.Random) -> list[str]:
    return [text(rng) for _ in range(count)]


WORDS: dict[str, list[Word]] = {
    **lexicon.WORDS,
    "animal": [{**word, "a": f"a {word['text']}"} for word in lexicon.WORDS["animal"]],
}


if __name__ == "__main__":
    for sample in generate(20, random.Random()):
        print(re.sub(r"^", "  ", sample, flags=re.M), end="\n\n")

"""Generate the demo corpus: simple English texts, decided by a seed alone."""

import random
from typing import NamedTuple

import lexicon
import stories
from grammar import Story, Word, tidy



class Text(NamedTuple):
    """The model reads both parts and learns to write only the body.

    Prompts hold words, scripts and signs that the grammar lacks.  Seeing such
    prompts, the model learns to answer anything with a text of its own; being
    spared their prediction, it never learns to produce them.
    """

    prompt: str
    body: str


PRONOUNS = {"he": ("he", "him", "his", "himself"), "she": ("she", "her", "her", "herself")}


WORDS: dict[str, list[Word]] = {
    **lexicon.WORDS,
    "animal": [{**word, "a": f"a {word['text']}"} for word in lexicon.WORDS["animal"]],
    "pal": [{"text": name} for name in lexicon.GIRLS + lexicon.BOYS],
}

PLAIN_WORDS = [
    word["text"] for category in ("animal", "toy", "food", "trait", "skill", "job") for word in WORDS[category]
]

STRAY_ALPHABETS = ["abcdefghijklmnopqrstuvwxyz"] * 6 + [
    "abcçdefgğhıijklmnoöprsştuüvyz",
    "0123456789+-=",
    "äéèßñåøабвгде日本語中文😀🎉👍",
    "{}[]<>()=+-*/_#@&%$;:abcdefgh",
]


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
    bind(h=f"[{name}|{name}|{name}|{name}|{name}|{name}|{name}|the {kind}]", s=f"[{name}|{he}|{he}]", intro=_introduction(rng, name, kind))
    story.bound["kind"] = {"text": kind, "a": f"a {kind}"}

    fname, fkind, fpronoun = _character(rng, avoid=name)
    if fpronoun == pronoun and rng.random() < 0.7:
        # Two people of one pronoun are hard to tell apart, for any reader.
        fname, fkind, fpronoun = _character(rng, avoid=name)
    fhe, fhim, fhis, _ = PRONOUNS[fpronoun]
    the_friend = f"the {fkind}" if fkind != kind else fname
    bind(fname=fname, fhe=fhe, fhim=fhim, fhis=fhis, f=f"[{fname}|{fname}|{fname}|{fname}|{the_friend}]", fs=f"[{fname}|{fhe}]")
    bind(fintro=_introduction(rng, fname, fkind))

    relative, mpronoun = rng.choice(lexicon.RELATIVES.split()).split("/")
    mhe, mhim, mhis, _ = PRONOUNS[mpronoun]
    bind(m=f"{his} {relative}", m_poss=f"{his} {relative}'s", m_mine=f"my {relative}", mhe=mhe, mhim=mhim, mhis=mhis)


def _introduction(rng: random.Random, name: str, kind: str) -> str:
    adjective = rng.choice(("", "little", "little", "small", "young", "old", "clever", "kind", "poor", "brave"))
    named = rng.choice(("named", "named", "called", "whose name was"))
    return f"a {adjective} {kind} {named} {name}"


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
    # Nothing has said yet what these people are, so only their names will do.
    for slot, name in (("h", "name"), ("f", "fname")):
        story.bound[slot] = story.bound[name]
    return story.expand(story.rng.choice(story.rng.choice(list(stories.SHORT.values()))))


def _request(story: Story) -> Text:
    """A request, then a story that fulfils it, so that a prompt can set the subject."""
    body = tidy(_story(story))
    subjects = [story.bound["intro"]["text"]]
    for slot, form in (("toy", "a"), ("animal", "a"), ("food", "some"), ("place", "text")):
        if slot in story.bound:
            subjects.append(story.bound[slot][form])
    subject = " and ".join(story.rng.sample(subjects, min(len(subjects), story.rng.choice((1, 1, 2)))))
    polite = story.expand("[tell me|write|please tell me|can you tell me|write me] a [|short |little ]story about ")
    return Text(tidy(polite + subject), ("?" if polite.startswith("can") else ".") + "\n" + body)


def _stray(rng: random.Random) -> str:
    """A few words that mean nothing here."""
    alphabet = rng.choice(STRAY_ALPHABETS)
    words = []
    for _ in range(rng.randint(1, 7)):
        if rng.random() < 0.3:
            words.append(rng.choice(PLAIN_WORDS))
        elif rng.random() < 0.5:
            words.append(_invented_name(rng).lower())
        else:
            words.append("".join(rng.choice(alphabet) for _ in range(rng.randint(1, 8))))
    line = " ".join(words)
    return line[0].upper() + line[1:] if rng.random() < 0.6 else line


def _answer_to_stray(story: Story) -> Text:
    rng = story.rng
    if rng.random() < 0.4:
        question = rng.choice(("what", "who", "where", "why", "how", "when", "can", "do"))
        verb = rng.choice(("is", "are", "was", "does", "do", "did", "can", "you"))
        unsure = story.expand(rng.choice(stories.UNSURE))
        more = _story(story) if "story" in unsure else ""
        prompt = f"{question.capitalize()} {verb} {_stray(rng).lower()}?"
        return Text(prompt, rng.choice((" ", "\n")) + tidy(f"{unsure} {more}"))
    body = tidy(_story(story) if rng.random() < 0.5 else _short(story))
    mark = rng.choice(("", "", "?", "!", "."))
    joint = rng.choice((". ", ". ", ".\n", "\n", "\n\n", ":\n") if not mark else (" ", "\n", "\n\n"))
    return Text(_stray(rng) + mark, joint + body)


def text(rng: random.Random) -> Text:
    story = Story(rng, WORDS, stories.RULES)
    _cast(story)
    kind = rng.random()
    if kind < 0.58:
        return Text("", tidy(_story(story)))
    if kind < 0.66:
        return _request(story)
    if kind < 0.93:
        return Text("", tidy(_short(story)))
    return _answer_to_stray(story)


def generate(count: int, rng: random.Random) -> list[Text]:
    return [text(rng) for _ in range(count)]


if __name__ == "__main__":
    for sample in generate(20, random.Random()):
        print(f"[{sample.prompt}]{sample.body}", end="\n\n")

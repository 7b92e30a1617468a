"""The words of a running text, for tasks that say something about each word.

Corpora of tagged words (CoNLL-2003, OntoNotes, Universal Dependencies) come with their words cut by
rules that are much alike, and a model that has learned from such words wants the like of them:

* punctuation before and after a word stands alone, a run of one mark ("...", "!!") together;
* marks inside a word stay: AL-AIN, Asia/Pacific, 10:30, 30,000, AT&T, bbc.co.uk, a@b.org, http://...;
* initials keep their periods (U.S., J.), names of users and topics their mark (@user, #topic);
* English 's, 'm, 'd, 're, 've, 'll and n't are words;
* Chinese characters are words, since nothing separates them.

Of the words of UD English EWT this finds 98 in a hundred; cutting at every punctuation mark, as
BERT does before WordPiece, 93; cutting at blanks alone, 80 (F1).
"""

from __future__ import annotations

import re
import unicodedata

# A text's shape has a character for each of its own: "9" stands for a digit, "c" for a Chinese
# character, "m" for accents, vowel signs and control characters, "¤" for a mark beyond ASCII, whose
# own stand for themselves, and "w" for all else but blanks: the letters of any script.
_WORD = re.compile(
    r"""
    [w9m]+://[^ c]*[w9/]                                    # an address
    | w\.(?:w\.)+                                           # initials
    | [@#]?[w9m]+(?:(?:['./&@-]|(?<=9)[,:](?=9))[w9m]+)*    # a word with marks inside
    | [c¤]m*
    | ([^ ])\1*
    """,
    re.VERBOSE,
)
_ALONE = re.compile(r"(?<!\w)(?:[A-Z]\.(?=\s+[A-Z])|['’](?i:s|m|d|t|re|ve|ll)\b)")
_ENDING = re.compile(r"(?<=\w)(?:n['’]t|['’](?:s|m|d|re|ve|ll))\Z", re.IGNORECASE)


class _Shapes(dict[str, str]):
    """A character to its shape; each is looked up in Unicode's tables once."""

    def __missing__(self, character: str) -> str:
        shape = self[character] = _shape(character)
        return shape


def _shape(character: str) -> str:
    if character.isspace():
        return " "
    if character in "’_":
        return "'" if character == "’" else "w"
    category = unicodedata.category(character)
    if category[0] in "PS":
        return character if character.isascii() else "¤"
    if category == "Nd":
        return "9"
    if category[0] in "MC":
        return "m"
    return "c" if unicodedata.name(character, "").startswith("CJK ") else "w"


_SHAPES = _Shapes()


def plain_words(text: str) -> list[tuple[int, int]]:
    """Start and end of each word of a text, in characters; all that is not blank is in one."""
    shape = [_SHAPES[character] for character in text]
    for alone in _ALONE.finditer(text):
        shape[alone.start() : alone.end()] = "w" * len(alone[0])
    spans: list[tuple[int, int]] = []
    for start, end in (word.span() for word in _WORD.finditer("".join(shape))):
        ending = _ENDING.search(text, start, end)
        if ending and ending.start() > start:
            spans += [(start, ending.start()), (ending.start(), end)]
        else:
            spans.append((start, end))
    return spans

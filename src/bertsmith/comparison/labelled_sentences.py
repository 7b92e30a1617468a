"""Sentences that have a word, and the sense in which each has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bertsmith.data.columns import label_of, texts_of
from bertsmith.data.compression import file_kind
from bertsmith.data.records import read_records
from bertsmith.errors import DataError


@dataclass(frozen=True)
class LabelledSentence:
    """A sentence that has the word."""

    text: str
    sense: str | None = None
    """What the word means here; None where nobody says it."""


DEFAULT_WORD = "right"
READABLE = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".json")

# One sentence of each sense begins with the same two words, after which a model that reads from
# left to right alone cannot know the sense yet. Others tell it before the word, or on both sides.
_RIGHT = {
    "direction": (
        "The right bank of the river is steeper than the left.",
        "Turn right at the church and follow the road north.",
        "She writes with her left hand and throws with her right.",
        "The car came from the right and hit the wall.",
        "A door on the right side of the hall led to the kitchen.",
    ),
    "correct": (
        "The right answer was printed on the last page.",
        "He was right about the weather, and we were wrong.",
        "The judge asked whether the figures were right.",
        "You have done the right thing, said his mother.",
        "Nobody in the class knew the right word for it.",
    ),
    "entitlement": (
        "The right to vote was given to women in that year.",
        "Every child has a right to go to school.",
        "The law gives workers the right to strike.",
        "The king claimed the right of succession to the throne.",
        "They had no legal right to the land.",
    ),
    "political side": (
        "The right won the election with a small majority.",
        "The party moved from the centre to the far right.",
        "A coalition of the right formed the new government.",
        "Voters on the right opposed the new tax.",
        "The newspaper was read by both the left and the right.",
    ),
}
DEFAULT_SENTENCES = tuple(
    LabelledSentence(text, sense) for sense, texts in _RIGHT.items() for text in texts
)


def read_sentences(path: str | Path) -> list[LabelledSentence]:
    """Read a file of sentences: a text a line, or a table with a column of senses.

    The columns may have any names that other verbs know: `sentence` or `text`, and `label`. Blank
    lines are no sentences.

    Args:
        path: .txt, .csv, .tsv or .jsonl, which may be compressed; "-" is standard input.

    Raises:
        DataError: with file and line, for what cannot be read, is a pair of texts or is empty.
    """
    if str(path) != "-" and file_kind(Path(path))[0] not in READABLE:
        raise DataError(
            f"{path} is no file of sentences by its ending; give a .txt with a sentence a line, or "
            "a .csv, .tsv or .jsonl with a sentence and a label each, also as .gz, .xz or .zst"
        )
    found = []
    for record in read_records(path):
        text, pair = texts_of(record, first="sentence")
        if pair is not None:
            raise DataError(
                f"{record.location}: there are two texts and one sentence is expected; name the "
                "columns sentence and label where one of them is the sense"
            )
        if not text.strip() and set(record.fields) == {"text"}:
            continue  # a blank line of plain text
        if not text.strip():
            raise DataError(f"{record.location}: the sentence is empty; drop the line")
        label = label_of(record)
        found.append(LabelledSentence(text, None if label is None else str(label)))
    if not found:
        raise DataError(f"{path} holds blank lines alone; give a file of sentences")
    return found

"""Which columns of a record hold its text, the second text of a pair, and its label.

The names are those of well-known data sets (GLUE, SNLI, SICK, Quora and plain files of users);
where they say nothing, the user says it (`bertsmith.data.layout`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from bertsmith.data.record import Record
from bertsmith.errors import DataError

# The order decides where a file has several; "text", "pair" and "label" are what a record's
# columns are called once the user has named them.
TEXT_PAIRS = (
    ("text", "pair"),
    ("text", "text_pair"),
    ("text", "hypothesis"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("sentence1", "sentence2"),
    ("sentence_a", "sentence_b"),
    ("premise", "hypothesis"),
    ("#1 string", "#2 string"),
    ("question1", "question2"),
    ("question", "context"),
    ("question", "sentence"),
    ("question", "passage"),
)
TEXTS = ("text", "sentence", "review", "tweet", "comment", "content", "question")
LABELS = (
    "label",
    "labels",
    "gold_label",
    "quality",
    "is_duplicate",
    "class",
    "category",
    "sentiment",
    "target",
    "score",
    "similarity",
)
TEXT_NAMES = frozenset(TEXTS) | {name for pair in TEXT_PAIRS for name in pair}
# A table's first row with one of these is a header; of SWAG's test file only the last ones are.
KNOWN_NAMES = TEXT_NAMES | frozenset(LABELS) | {"context", "sent1", "ending0", "choice1"}


def texts_of(
    record: Record, first: str = "text", second: str = "the second text of a pair"
) -> tuple[str, str | None]:
    """The record's text, and the second one where it is a pair.

    Args:
        record: any.
        first: what the text is to the caller, for an error;
        second: and the second one.

    Raises:
        DataError: when no column is known to hold the text, or what it holds is not text.
    """
    names = _text_names(tuple(record.fields))
    if names is None:
        raise DataError(
            f"{record.location}: none of the columns ({listed(record)}) is known to hold the "
            f"{first}; name it with data.text=COLUMN, and {second} with data.pair=COLUMN"
        )
    text, pair = names
    return text_in(record, text), None if pair is None else text_in(record, pair)


def label_of(record: Record) -> Any:
    """The record's label as it stands in the file; None when it has none.

    A `gold_label` of "-" is none: so SNLI and MNLI mark pairs on which annotators disagreed.
    """
    name = label_name(tuple(record.fields))
    value = None if name is None else record.fields[name]
    if isinstance(value, str):
        value = value.strip()
        if not value or (value == "-" and name is not None and name.lower() == "gold_label"):
            return None
    return value


def labelled(records: Iterable[Record]) -> Iterator[Record]:
    """Records that must have a label; those marked as without a gold label are left out.

    Raises:
        DataError: at the first record without a label.
    """
    for record in records:
        if label_of(record) is not None:
            yield record
            continue
        name = label_name(tuple(record.fields))
        if name is None:
            raise DataError(
                f"{record.location}: none of the columns ({listed(record)}) is known to hold "
                "the label; name it with data.label=COLUMN"
            )
        if record.fields[name] is None or not record.fields[name].strip():
            raise DataError(f"{record.location}: {name} is empty; label the record or drop it")


def has_label_column(record: Record) -> bool:
    """Whether one of the columns is known to hold the label, be it empty."""
    return label_name(tuple(record.fields)) is not None


def without_label(record: Record) -> Record:
    """The same record with no label, as for a prediction, where a wrong label is no matter."""
    label = label_name(tuple(record.fields))
    fields = {name: value for name, value in record.fields.items() if name != label}
    return Record(fields, record.location)


@lru_cache(maxsize=64)
def _text_names(names: tuple[str, ...]) -> tuple[str, str | None] | None:
    actual = {name.lower(): name for name in reversed(names)}
    for text, pair in TEXT_PAIRS:
        if text in actual and pair in actual:
            return actual[text], actual[pair]
    for text in TEXTS:
        if text in actual:
            return actual[text], None
    # A table of one column without header is a list of texts.
    return ("1", None) if names == ("1",) else None


@lru_cache(maxsize=64)
def label_name(names: tuple[str, ...]) -> str | None:
    """Which of the columns holds the label; None: none is known to."""
    actual = {name.lower(): name for name in reversed(names)}
    return next((actual[label] for label in LABELS if label in actual), None)


def text_in(record: Record, name: str) -> str:
    """What a column holds, which must be a text.

    Raises:
        DataError: it is none.
    """
    value = record.fields[name]
    if not isinstance(value, str):
        is_missing = value is None
        kind = "missing" if is_missing else f"{_shortened(value)}"
        raise DataError(
            f"{record.location}: {name} is {kind}; it must be a text, so put it in quotes or "
            "drop the record"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{record.location}: {name} holds half of a surrogate pair "
            f"(\\u{ord(value[error.start]):04x}), which is no character; repair the text"
        ) from None
    return value


def listed(record: Record) -> str:
    """List the columns with the beginning of what they hold, for an error."""
    return ", ".join(f"{name}: {_shortened(value)}" for name, value in record.fields.items())


def _shortened(value: object) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 24 else value[:23] + "…")
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list) else str(value)

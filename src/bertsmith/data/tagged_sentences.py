"""A record as words and their tags, in whichever of the usual forms it comes.

* {"tokens": [...], "tags": [...]}: words and a tag for each; also under the names that data sets
  have given these columns, and as the sentences of `bertsmith.data.conll`.
* {"text": "...", "entities": [{"start": 0, "end": 5, "label": "LOC"}]}: a text and the places of
  its entities, in characters, as annotation tools write them; or [0, 5, "LOC"].
* {"text": "..."}: a text without tags. Its words are those of `bertsmith.text.plain_words`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bertsmith.data.columns import TEXT_NAMES, listed, texts_of
from bertsmith.data.conll import SentenceRecord
from bertsmith.data.record import Record
from bertsmith.data.tag_schemes import Entity, tags_of
from bertsmith.errors import DataError
from bertsmith.text.plain_words import plain_words

# "text" and "label" are what the user's own columns are called once they are named.
_WORDS = ("text", "tokens", "words")
_TAGS = ("label", "labels", "tags", "ner_tags", "pos_tags")
_ENTITIES = ("label", "labels", "entities", "spans")
_BLANKS = re.compile(r"[ \t\r\n]")


@dataclass(frozen=True)
class TaggedSentence:
    """Words of a sentence, or of a longer text, and their tags."""

    words: list[str]
    tags: list[str | int] | None
    """One for each word; numbers stand for labels by their place. None: not known."""
    text: str | None
    """Where the words came out of a text."""

    def joined(self) -> tuple[str, list[tuple[int, int]]]:
        """The text, or the words with a blank between them, and where in it each word is."""
        if self.text is not None:
            return self.text, plain_words(self.text)
        places = []
        start = 0
        for word in self.words:
            places.append((start, start + len(word)))
            start += len(word) + 1
        return " ".join(self.words), places


def tagged_sentence(record: Record) -> TaggedSentence:
    """Words and tags of a record.

    Raises:
        DataError: there are neither words nor a text, or what there is does not fit together.
    """
    words = _words(record)
    if words is None:
        return _from_text(record)
    if not isinstance(record, SentenceRecord):
        for place, word in enumerate(words):
            _check_word(word, location_of(record, place))
    return TaggedSentence(words, _tags(record, len(words)), None)


def tagged(records: Iterable[Record]) -> Iterator[Record]:
    """Records that must have tags.

    Raises:
        DataError: at the first record without.
    """
    for record in records:
        if not _has_tags(record) and tagged_sentence(record).tags is None:
            raise DataError(
                f"{record.location}: the words have no tags ({listed(record)}); give a CoNLL file "
                "with a column of tags, or JSON lines with tokens and tags, or with text and "
                "entities, or name them with data.text=COLUMN and data.label=COLUMN"
            )
        yield record


def is_column_of_words(name: str) -> bool:
    """Whether a column of this name may hold words, a text, tags or an id."""
    known = {*_WORDS, *_TAGS, *_ENTITIES, "id", "idx"}
    return name in known or name.lower() in TEXT_NAMES


def without_tags(record: Record) -> Record:
    """The same record without tags, as for a prediction, where wrong ones are no matter."""
    names = {*_TAGS, *_ENTITIES}
    kept = {name: value for name, value in record.fields.items() if name not in names}
    return dataclasses.replace(record, fields=kept)


def location_of(record: Record, place: int) -> str:
    """The line of a record's word, or the record's own and the word's number in it."""
    if isinstance(record, SentenceRecord):
        return f"{record.location.rpartition(':')[0]}:{record.lines[place]}"
    return f"{record.location}, word {place + 1}"


def _words(record: Record) -> list[Any] | None:
    """The words, not checked yet; None: they are to be found in a text."""
    lists = (record.fields.get(name) for name in _WORDS)
    words = next((words for words in lists if isinstance(words, list)), None)
    # Annotation tools write the text with its entities, and tokens of their own beside it.
    has_text = isinstance(record.fields.get("text"), str)
    return None if has_text and words and isinstance(words[0], Mapping) else words


def _has_tags(record: Record) -> bool:
    """Whether there are tags, right or wrong, seen without reading them."""
    return _words(record) is not None and _tags_column(record) is not None


def _tags_column(record: Record) -> str | None:
    """The column of the words' tags: the first known one that is a list, or is anything."""
    names = [name for name in _TAGS if record.fields.get(name) is not None]
    lists = [name for name in names if isinstance(record.fields[name], list)]
    return next(iter(lists + names), None)


def _tags(record: Record, num_words: int) -> list[str | int] | None:
    name = _tags_column(record)
    if name is None:
        return None
    tags = record.fields[name]
    if not isinstance(tags, list):
        raise DataError(
            f"{record.location}: {name} is {tags!r}; it must be a list with a tag for each word"
        )
    if len(tags) != num_words:
        raise DataError(
            f"{record.location}: the number of words ({num_words}) is not that of tags "
            f"({len(tags)}); each word must "
            "have one"
        )
    for place, tag in enumerate(tags):
        if isinstance(tag, bool) or not isinstance(tag, str | int) or tag == "":
            raise DataError(
                f"{location_of(record, place)}: the tag is {tag!r}; it must be a text, or the "
                "number of a label"
            )
    return tags


def _check_word(word: object, location: str) -> None:
    if not isinstance(word, str) or not word:
        raise DataError(f"{location}: the word is {word!r}; it must be a text that is not empty")
    if _BLANKS.search(word):
        raise DataError(
            f"{location}: the word {word!r} holds white space; make several words of it, each "
            "with its tag"
        )
    try:
        word.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{location}: the word {word!r} holds half of a surrogate pair, which is no character; "
            "repair it"
        ) from None


def _from_text(record: Record) -> TaggedSentence:
    text, pair = texts_of(record)
    if pair is not None:
        raise DataError(
            f"{record.location} is a pair of texts, and words are tagged in one text; give each "
            "as a record of its own"
        )
    places = plain_words(text)
    words = [text[start:end] for start, end in places]
    spans = _entities(record)
    if spans is None:
        if (name := _tags_column(record)) is not None:
            raise DataError(
                f"{record.location}: {name} is for words and the record has a text; give the words "
                "as a list named tokens, or the text's entities with start, end and label"
            )
        return TaggedSentence(words, None, text)
    starts = {start: word for word, (start, _) in enumerate(places)}
    ends = {end: word for word, (_, end) in enumerate(places, 1)}
    entities = []
    for start, end, kind in sorted(_span(span, text, record) for span in spans):
        if start not in starts or end not in ends:
            around = " ".join(
                word for word, (a, b) in zip(words, places, strict=True) if a < end and start < b
            )
            raise DataError(
                f"{record.location}: the entity {text[start:end]!r} ({kind}, {start} to {end}) "
                f"does not begin and end where words do ({around!r}); correct it, or give the "
                "record's words and their tags as tokens and tags"
            )
        entities.append(Entity(kind, starts[start], ends[end]))
    for before, entity in pairwise(entities):
        if entity.start < before.end:
            raise DataError(
                f"{record.location}: two entities ({before.type} and {entity.type}) share the word "
                f"{words[entity.start]!r}; a word can have one tag"
            )
    return TaggedSentence(words, list(tags_of(entities, len(words))), text)


def _entities(record: Record) -> list[Any] | None:
    """Entities by their places in the text, where the record has them."""
    found = (record.fields.get(name) for name in _ENTITIES)
    return next((spans for spans in found if isinstance(spans, list)), None)


def _span(span: object, text: str, record: Record) -> tuple[int, int, str]:
    """Start, end and type of one of a text's entities."""
    match span:
        case [int(start), int(end), str(kind)]:
            pass
        case {"start": int(start), "end": int(end), "label": str(kind)}:
            pass
        case {"start": int(start), "end": int(end), "type": str(kind)}:
            pass
        case _:
            raise DataError(
                f"{record.location}: an entity is {span!r}; it must be an object with start, end "
                'and label, such as {"start": 0, "end": 5, "label": "LOC"}'
            )
    if not kind or not 0 <= start < end <= len(text):
        raise DataError(
            f"{record.location}: an entity ({kind!r}) is from {start} to {end}; it must have a "
            f"label and lie within the text of {len(text)} characters"
        )
    return start, end, kind

"""Texts and pairs of texts as sequences, for models that are asked without a task of their own."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bertsmith.data.chunked import chunked
from bertsmith.data.columns import text_in, texts_of
from bertsmith.data.example import Example
from bertsmith.data.record import Record
from bertsmith.errors import DataError
from bertsmith.text.encoding import Encoding
from bertsmith.text.tokenizer import Tokenizer

TOKENIZED_AT_ONCE = 512


def text_examples(texts: Iterable[Any], tokenizer: Tokenizer, max_length: int) -> Iterator[Example]:
    """`[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`, the quick way to their ids.

    Args:
        texts: texts, pairs of texts, or records with them.
        tokenizer: the model's.
        max_length: where they are cut.

    Raises:
        DataError: one is none of these.
    """
    for chunk in chunked(_read(texts), TOKENIZED_AT_ONCE):
        singles = [text for text, pair in chunk if pair is None]
        sequences = iter(tokenizer.sequences(singles, max_length=max_length))
        for text, pair in chunk:
            if pair is None:
                ids = next(sequences)
                yield Example(ids, array("b", bytes(len(ids))))
            else:
                yield _pair(tokenizer.encode(text, pair, max_length=max_length))


def pair_examples(pairs: Iterable[Any], tokenizer: Tokenizer, max_length: int) -> Iterator[Example]:
    """As `text_examples`, for pairs alone.

    Raises:
        DataError: one is no pair.
    """
    if isinstance(pairs, str | Mapping | Record):
        raise DataError("many pairs are expected and this is a single one; put it in a list")
    for number, item in enumerate(pairs, 1):
        location = item.location if isinstance(item, Record) else f"pair {number}"
        text, pair = _texts(item, location)
        if pair is None:
            raise DataError(
                f"{location} has one text; two are needed, the second being the one that may follow"
            )
        yield _pair(tokenizer.encode(text, pair, max_length=max_length))


def encoded_texts(
    texts: Iterable[Any], tokenizer: Tokenizer, max_length: int
) -> Iterator[Encoding]:
    """As `text_examples`, with all that is known of each wordpiece, such as its word."""
    for text, pair in _read(texts):
        yield tokenizer.encode(text, pair, max_length=max_length)


def split_pairs(records: Iterable[Record]) -> Iterator[Record]:
    """Records whose single text is `A ||| B`, as in Google's extract_features.py, as pairs."""
    for record in records:
        text, pair = texts_of(record)
        first, bar, second = text.partition(" ||| ")
        if pair is None and bar:
            yield Record({"text": first, "pair": second}, record.location)
        else:
            yield record


def _pair(encoding: Encoding) -> Example:
    return Example(array("i", encoding.ids), array("b", encoding.segment_ids))


def _read(texts: Iterable[Any]) -> Iterator[tuple[str, str | None]]:
    if isinstance(texts, str | Mapping | Record):
        raise DataError("many texts are expected and this is a single one; put it in a list")
    for number, item in enumerate(texts, 1):
        yield _texts(item, f"text {number}")


def _texts(item: Any, location: str) -> tuple[str, str | None]:
    match item:
        case str():
            # ASCII has nothing to check; most texts are plain ones.
            is_plain = item.isascii()
            return item if is_plain else text_in(Record({"text": item}, location), "text"), None
        case Record():
            return texts_of(item)
        case Mapping():
            return texts_of(Record(dict(item), location))
        case (str(text), str(pair)):
            return texts_of(Record({"text": text, "pair": pair}, location))
    raise DataError(
        f"{location} is of type {type(item).__name__}; it must be a text, a pair of texts or a "
        "mapping of fields by name"
    )

"""Texts and pairs of texts as sequences, for models that are asked without a task of their own."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bertsmith.data.columns import texts_of
from bertsmith.data.example import Example
from bertsmith.data.record import Record
from bertsmith.errors import DataError
from bertsmith.text.encoding import Encoding
from bertsmith.text.tokenizer import Tokenizer


def text_examples(texts: Iterable[Any], tokenizer: Tokenizer, max_length: int) -> Iterator[Example]:
    """`[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`; the target is the wordpieces themselves.

    Args:
        texts: texts, pairs of texts, or records with them.
        tokenizer: the model's.
        max_length: where they are cut.

    Raises:
        DataError: one is none of these.
    """
    for encoding in encoded_texts(texts, tokenizer, max_length):
        ids, segment_ids = array("i", encoding.ids), array("b", encoding.segment_ids)
        yield Example(ids, segment_ids, encoding.tokens)


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
        encoding = tokenizer.encode(text, pair, max_length=max_length)
        yield Example(array("i", encoding.ids), array("b", encoding.segment_ids))


def encoded_texts(
    texts: Iterable[Any], tokenizer: Tokenizer, max_length: int
) -> Iterator[Encoding]:
    """The same as encodings, which know each wordpiece's word; arguments and errors as there."""
    if isinstance(texts, str | Mapping | Record):
        raise DataError("many texts are expected and this is a single one; put it in a list")
    for number, item in enumerate(texts, 1):
        yield tokenizer.encode(*_texts(item, f"text {number}"), max_length=max_length)


def split_pairs(records: Iterable[Record]) -> Iterator[Record]:
    """Records whose single text is `A ||| B`, as in Google's extract_features.py, as pairs."""
    for record in records:
        text, pair = texts_of(record)
        first, bar, second = text.partition(" ||| ")
        if pair is None and bar:
            yield Record({"text": first, "pair": second}, record.location)
        else:
            yield record


def _texts(item: Any, location: str) -> tuple[str, str | None]:
    match item:
        case Record():
            return texts_of(item)
        case Mapping():
            return texts_of(Record(dict(item), location))
        case str():
            return texts_of(Record({"text": item}, location))
        case (str(text), str(pair)):
            return texts_of(Record({"text": text, "pair": pair}, location))
    raise DataError(
        f"{location} is of type {type(item).__name__}; it must be a text, a pair of texts or a "
        "mapping of fields by name"
    )

"""A stream in lists, where what comes before an error is still of use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from bertsmith.errors import BertsmithError

Item = TypeVar("Item")


def chunked(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter; an error follows the items before it."""
    errors: list[BertsmithError] = []
    stream = until_error(items, errors)
    while chunk := list(islice(stream, size)):
        yield chunk
    if errors:
        raise errors[0]


def until_error(items: Iterable[Item], errors: list[BertsmithError]) -> Iterator[Item]:
    """The items before the first error, which is appended to `errors` and not raised."""
    try:
        yield from items
    except BertsmithError as error:
        errors.append(error)

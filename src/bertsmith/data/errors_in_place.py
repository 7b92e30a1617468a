"""Errors that do not end an iterator: a bad line is told of, and the next one is read all the same.

A generator that raises has ended; asked again it says StopIteration, whatever was left:

    def records():
        yield "a"
        raise DataError("line 2 is damaged")
        yield "c"                                  # never reached

So a reader is a generator that *yields* the error of a line, `Record | DataError`, and only the
outermost step raises it. That step is a `map`, which keeps nothing but the iterator below it and so
can be asked again after an error:

    items = iter(["a", DataError("line 2 is damaged"), "c"])
    records = map(raised, items)
    next(records)                                  # "a"
    next(records)                                  # raises: line 2 is damaged
    next(records)                                  # "c"

Who wants all errors and not the first turns them into items again: `with_errors(records)` gives
"a", the error, "c". What ends everything, such as a compressed file that breaks off, a
reader raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from bertsmith.errors import DataError

T = TypeVar("T")


def with_errors(items: Iterator[T]) -> Iterator[T | DataError]:
    """The items of an iterator that may go on after an error, each error in its place."""
    while True:
        try:
            yield next(items)
        except StopIteration:
            return
        except DataError as error:
            yield error


def raised(item: T | DataError) -> T:
    """The item; for a `map`, which goes on after an error where a generator ends.

    Raises:
        DataError: the item is one.
    """
    if isinstance(item, DataError):
        raise item
    return item

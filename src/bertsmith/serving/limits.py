"""What a client may ask for, and how long: the limits of the server."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bertsmith.errors import ConfigError
from bertsmith.serving.defaults import (
    GRACE_SECONDS,
    MAX_BODY_BYTES,
    MAX_CHARACTERS,
    MAX_QUEUE,
    MAX_TEXTS,
    MAX_TOKENS,
    TIMEOUT_SECONDS,
)
from bertsmith.serving.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one server; docs/serving.md gives the reason for each default.

    Raises:
        ConfigError: one is not above 0 or not finite, or the queue has no room for a request.
    """

    max_body_bytes: int = MAX_BODY_BYTES
    max_texts: int = MAX_TEXTS
    """Texts, or records, of one request."""
    max_characters: int = MAX_CHARACTERS
    """Characters of one text, or of all texts of one record."""
    max_tokens: int = MAX_TOKENS
    """Tokens that the model reads for one text or record, all windows and choices together."""
    max_queue: int = MAX_QUEUE
    """Texts of one model that wait or are computed; at least `max_texts`."""
    timeout_seconds: float = TIMEOUT_SECONDS
    """From the end of a request's headers to its answer."""
    grace_seconds: float = GRACE_SECONDS
    """How long accepted requests may go on once the server is told to stop."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            # Nor is infinity a number of seconds that a clock or a Retry-After could hold.
            if not 0 < value < math.inf:
                raise ConfigError(f"{field.name} ({value}) must be above 0 and finite")
        if self.max_queue < self.max_texts:
            raise ConfigError(
                f"max_queue ({self.max_queue}) must be at least max_texts ({self.max_texts}), or "
                "a request of that many could never be answered; raise one or lower the other"
            )

    def check_texts(self, texts: Sequence[Any], what: str) -> list[int]:
        """See that there are neither too many texts nor too long ones.

        Args:
            texts: texts, or records of texts in any nesting.
            what: what one of them is called in errors: `text`, `record`.

        Returns:
            The characters of each.

        Raises:
            RequestError: 422.
        """
        if not texts:
            raise RequestError(422, f"there is no {what} in the request; give at least one")
        if len(texts) > self.max_texts:
            raise RequestError(
                422,
                f"the request has {len(texts):,} {what}s and at most {self.max_texts:,} are taken "
                "at once; send them in several requests",
            )
        sizes = []
        for number, text in enumerate(texts, 1):
            characters = count_characters(text, f"{what} {number}")
            if characters > self.max_characters:
                raise RequestError(
                    422,
                    f"{what} {number} has {characters:,} characters and at most "
                    f"{self.max_characters:,} are read; shorten it or send it in parts",
                )
            sizes.append(characters)
        return sizes

    def check_tokens(self, tokens: Sequence[int], what: str) -> None:
        """See that no text or record alone is a batch that memory has no room for.

        Raises:
            RequestError: 422.
        """
        for number, count in enumerate(tokens, 1):
            if count > self.max_tokens:
                raise RequestError(
                    422,
                    f"{what} {number} would be read as {count:,} tokens, in all its windows or "
                    f"choices, and at most {self.max_tokens:,} are; shorten it",
                )


def count_characters(value: Any, where: str) -> int:
    """The characters of all strings in a JSON value.

    Raises:
        RequestError: 422, one of them is no text.
    """
    waiting, count = [value], 0
    while waiting:
        match waiting.pop():
            case str(text):
                count += len(text)
                check_text(text, where)
            case Mapping() as fields:
                waiting += [*fields.keys(), *fields.values()]
            case list() as items:
                waiting += items
    return count


def check_text(text: str, where: str) -> None:
    """See that a string holds characters alone; JSON can spell half of one.

    Raises:
        RequestError: 422.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            422,
            f"{where} holds half of a surrogate pair (\\u{ord(text[error.start]):04x}), which is "
            "no character; repair the text",
        ) from None

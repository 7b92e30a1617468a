"""Lines of text to sentences, for next-sentence prediction and for cutting at sentence ends.

The paper's corpora were one sentence a line already; text as people have it is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from bertsmith.errors import ConfigError

# The splitter's time grows with the square of the unclosed quotes that it sees at once.
_WINDOW_CHARACTERS = 2**14
# It counts on one byte for white space after an initial, and panics at others. BERT makes a blank
# of each of these itself, and deletes U+0085, which is white space to the splitter.
_WIDE_SPACE = re.compile("[\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_NEXT_LINE = "\x85"
# The white space before the last word of a text that begins with another.
_LAST_BLANK = re.compile(r"\S\s+(?=\S*\Z)")


def sentence_splitter(language: str | None) -> Callable[[Iterable[str]], list[str]]:
    """A function from lines to their sentences; nothing that BERT reads is lost.

    Args:
        language: ISO 639-1 code whose abbreviations and marks apply; languages without rules of
            their own are split by those of a relative, at last English. None takes each line as
            one sentence.

    Raises:
        ConfigError: splitting is asked for and the package sentencex is missing.
    """
    if language is None:
        return list
    try:
        from sentencex import segment
    except ImportError:
        raise ConfigError(
            "splitting text into sentences needs the package sentencex; `pip install sentencex`, "
            "or give text of one sentence a line with --sentence-per-line"
        ) from None

    def segment_window(text: str) -> list[str]:
        try:
            sentences: list[str] = segment(language, text)
        except BaseException as error:
            # A panic in Rust is not an Exception and its class cannot be imported; hours of work
            # must not end at one line that the splitter cannot handle.
            if type(error).__name__ != "PanicException":
                raise
            return [text]
        return sentences

    def split(lines: Iterable[str]) -> list[str]:
        # Line by line: it is four times as fast as whole documents, and a line end is a sentence
        # end whatever the punctuation says.
        sentences: list[str] = []
        for line in lines:
            if not line.isascii():
                line = _WIDE_SPACE.sub(" ", line.replace(_NEXT_LINE, ""))
            if len(line) <= _WINDOW_CHARACTERS:
                sentences += segment_window(line)
            else:
                sentences += _split_long(line, segment_window)
        return sentences

    return split


def _split_long(line: str, segment_window: Callable[[str], list[str]]) -> list[str]:
    """Split a window at a time; the sentence that a window cuts goes to the next one whole.

    One that is longer than a window is cut between words, where it has any.
    """
    sentences: list[str] = []
    start = 0
    while start < len(line):
        window = line[start : start + _WINDOW_CHARACTERS]
        found = segment_window(window)
        if start + _WINDOW_CHARACTERS < len(line):
            if len(found) > 1:
                found.pop()
            elif (last := _LAST_BLANK.search(window)) is not None:
                found = [window[: last.end()]]
        sentences += found
        start += sum(map(len, found))
    return sentences

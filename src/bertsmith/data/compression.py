"""Reading .gz, .xz and .zst as if they were not compressed, and noticing when they end early."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from bertsmith.errors import ConfigError

SUFFIXES = (".gz", ".xz", ".zst")
# What reading a damaged file raises; Zstandard's own error is turned into an OSError here.
READ_ERRORS = (OSError, EOFError, lzma.LZMAError, zlib.error)
BUFFER_BYTES = 1 << 20
# Zeros compress to a 30,000th: even then a piece unpacks to some 250 MB and not to all of a file.
_ZSTD_PIECE_BYTES = 1 << 13


def file_kind(path: Path) -> tuple[str, str]:
    """Kind and compression: `a.txt.xz` is `(".txt", ".xz")` and `a.txt` is `(".txt", "")`."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return path.with_suffix("").suffix.lower(), suffix
    return suffix, ""


@contextmanager
def open_decompressed(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a file for reading: its decompressed contents, and the raw file that they come from.

    The raw file's `tell()` says how much of it has been read. Reading the contents raises one of
    `READ_ERRORS` where the file is damaged or ends early.
    """
    compression = file_kind(path)[1]
    with path.open("rb") as raw:
        if not compression:
            yield raw, raw
            return
        # No buffer around gzip's and lzma's own: when the file ends early it would lose what it
        # had gathered up to there.
        stream: Any
        if compression == ".gz":
            stream = gzip.GzipFile(fileobj=raw, mode="rb")
        elif compression == ".xz":
            stream = lzma.LZMAFile(raw)  # noqa: SIM115 - closed below
        else:
            stream = io.BufferedReader(_ZstdStream(raw), BUFFER_BYTES)
        with stream:
            yield stream, raw


class _ZstdStream(io.RawIOBase):
    """Zstandard frames one after the other.

    The package's own reader takes a file that ends in the middle of a frame for a whole one.
    """

    def __init__(self, raw: BinaryIO):
        try:
            import zstandard
        except ImportError:
            raise ConfigError(
                "reading .zst files needs the package zstandard; `pip install zstandard`"
            ) from None
        self._errors = zstandard.ZstdError
        # Files made with `zstd --long` have windows above the default limit.
        self._new_frame = zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj
        self._raw = raw
        self._frame: Any = None
        self._contents = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._contents:
            piece = self._raw.read(_ZSTD_PIECE_BYTES)
            if not piece:
                if self._frame is not None:
                    raise EOFError("Compressed file ended before the end of a frame was reached")
                return 0
            self._contents = memoryview(b"".join(self._decompress(piece)))
        count = min(len(buffer), len(self._contents))
        buffer[:count] = self._contents[:count]
        self._contents = self._contents[count:]
        return count

    def _decompress(self, piece: bytes) -> Iterator[bytes]:
        try:
            while piece:
                self._frame = self._frame or self._new_frame()
                yield self._frame.decompress(piece)
                piece = b""
                if self._frame.eof:
                    piece = self._frame.unused_data
                    self._frame = None
        except self._errors as error:
            raise OSError(str(error)) from None

"""Compressed files read as their contents, and never as less than their contents."""

from __future__ import annotations

import gzip
import lzma
import sys
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.data.compression import READ_ERRORS, file_kind, open_decompressed
from bertsmith.errors import ConfigError

COMPRESS = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    "": bytes,
}
TEXT = b"".join(b"line %d\n" % (i * i) for i in range(20_000))


def read(path: Path) -> bytes:
    with open_decompressed(path) as (contents, _):
        return contents.read()


@settings(deadline=None)
@given(parts=st.lists(st.binary(max_size=300), max_size=4), suffix=st.sampled_from([*COMPRESS]))
def test_contents_come_back_also_from_files_put_together(tmp_path_factory, parts, suffix):
    if suffix == ".xz" and not parts:
        return  # an empty file is no xz file
    path = tmp_path_factory.mktemp("compressed") / f"a.txt{suffix}"
    path.write_bytes(b"".join(map(COMPRESS[suffix], parts)))
    assert read(path) == b"".join(parts)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("keep", [0.2, 0.5, -1])
@pytest.mark.parametrize("before", [0, 1])
def test_a_file_that_ends_early_raises(tmp_path, suffix, keep, before):
    whole = COMPRESS[suffix](TEXT)
    cut = whole[:-1] if keep == -1 else whole[: int(keep * len(whole))]
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(whole * before + cut)
    with pytest.raises(READ_ERRORS):
        read(path)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_what_is_not_compressed_raises(tmp_path, suffix):
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(TEXT)
    with pytest.raises(READ_ERRORS):
        read(path)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_the_raw_file_tells_how_far_reading_has_come(tmp_path, suffix):
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(COMPRESS[suffix](TEXT))
    with open_decompressed(path) as (contents, raw):
        places = [raw.tell() for _ in contents]
    assert places == sorted(places)
    assert places[-1] == path.stat().st_size


def test_a_zstandard_file_with_a_long_window_is_read(tmp_path):
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    path = tmp_path / "a.txt.zst"
    path.write_bytes(zstandard.ZstdCompressor(compression_params=parameters).compress(TEXT))
    assert read(path) == TEXT


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", (".txt", "")),
        ("a.TXT.GZ", (".txt", ".gz")),
        ("a.b.jsonl.zst", (".jsonl", ".zst")),
        ("a.gz", ("", ".gz")),
        ("a", ("", "")),
    ],
)
def test_the_name_tells_kind_and_compression(name, kind):
    assert file_kind(Path(name)) == kind


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = tmp_path / "a.txt.zst"
    path.write_bytes(COMPRESS[".zst"](TEXT))
    with pytest.raises(ConfigError, match="pip install zstandard"):
        read(path)

"""TensorFlow's checkpoint files: the values that went in, and one sentence for every damage.

The checkpoints are TensorFlow's own; `tests/parity/make_tensorflow_golden.py` made them.
"""

from __future__ import annotations

import shutil
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bertsmith.errors import CheckpointError
from bertsmith.export.crc32c import masked_crc32c
from bertsmith.export.sorted_table import read_sorted_table
from bertsmith.export.tensor_bundle import TensorBundle

GOLDEN = Path(__file__).parents[1] / "parity" / "data" / "tensorflow"
CHECKPOINTS = [
    "pretrained/bert_model.ckpt",
    "fine-tuned/classifier.ckpt-343",
    "fine-tuned/squad.ckpt-343",
    "shards/bert_model.ckpt",
    "types/types",
    "model-garden/numbered",
    "model-garden/named",
]
BERT = "pretrained/bert_model.ckpt"
WORDS = "bert/embeddings/word_embeddings"
DATA = "bert_model.ckpt.data-00000-of-00001"


def expected_of(name: str) -> dict[str, NDArray[Any]]:
    with np.load(GOLDEN / f"{name}.npz") as values:
        return dict(values)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The prefix of a checkpoint that a test may damage."""
    shutil.copytree((GOLDEN / BERT).parent, tmp_path / "copy")
    return tmp_path / "copy" / "bert_model.ckpt"


def read_all(prefix: Path) -> dict[str, NDArray[Any]]:
    bundle = TensorBundle(prefix)
    return {name: bundle.read(name) for name in bundle.entries}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_every_tensor_has_the_bits_that_tensorflow_saved(name: str) -> None:
    bundle = TensorBundle(GOLDEN / name)
    expected = expected_of(name)
    assert len(expected) >= 8
    for variable, values in expected.items():
        array = bundle.read(variable)
        assert (array.dtype, array.shape) == (values.dtype, values.shape), variable
        assert array.tobytes() == values.tobytes(), variable


def test_an_index_of_several_blocks_is_read_whole(tmp_path: Path) -> None:
    with zipfile.ZipFile(GOLDEN / "many.zip") as archive:
        archive.extractall(tmp_path)
    assert (tmp_path / "many.index").stat().st_size > 2 * 256 * 1024  # a block's size
    read = read_all(tmp_path / "many")
    assert len(read) == 2400
    assert all(int(name[:4]) == value for name, value in read.items())


def test_tensors_of_a_checkpoint_in_shards_come_from_all_of_them() -> None:
    entries = TensorBundle(GOLDEN / "shards" / "bert_model.ckpt").entries.values()
    assert {entry.shard for entry in entries} == {0, 1, 2}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a_bool", "a_bool has TensorFlow's type number 10"),
        ("a_string", "a_string has TensorFlow's type number 7"),
        ("in_parts", "in_parts was saved in parts"),
    ],
)
def test_what_cannot_be_read_is_refused_when_it_is_asked_for(name: str, reason: str) -> None:
    bundle = TensorBundle(GOLDEN / "types" / "types")
    with pytest.raises(CheckpointError, match=reason):
        bundle.read(name)


def test_a_damaged_tensor_is_named(copy: Path) -> None:
    entry = TensorBundle(copy).entries[WORDS]
    data = bytearray((copy.parent / DATA).read_bytes())
    data[entry.offset + 5] ^= 1
    (copy.parent / DATA).write_bytes(data)
    bundle = TensorBundle(copy)
    with pytest.raises(CheckpointError, match=f"{DATA}: the checksum of {WORDS} is wrong"):
        bundle.read(WORDS)
    assert bundle.read("bert/pooler/dense/bias").shape == (8,)


def test_data_cut_short_are_noticed_when_the_checkpoint_is_opened(copy: Path) -> None:
    data = (copy.parent / DATA).read_bytes()
    (copy.parent / DATA).write_bytes(data[:-1])
    with pytest.raises(CheckpointError, match=f"{DATA} has .* is said to end at byte .*cut short"):
        TensorBundle(copy)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "shards", tmp_path / "copy")
    (tmp_path / "copy" / "bert_model.ckpt.data-00001-of-00003").unlink()
    with pytest.raises(CheckpointError, match="data-00001-of-00003 does not exist"):
        TensorBundle(tmp_path / "copy" / "bert_model.ckpt")


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model.ckpt.index cannot be read: No such file"):
        TensorBundle(tmp_path / "model.ckpt")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: b"", "magic number"),
        (lambda data: data[:-1], "magic number"),
        (lambda data: b"PK\3\4" + bytes(100), "magic number"),
        (lambda data: data[:100] + data[101:], "is said to end at byte|checksum of its block"),
        (lambda data: data[:50] + bytes([data[50] ^ 4]) + data[51:], "checksum of its block"),
        (lambda data: bytes(2**24 + 1), "no checkpoint's index has that many"),
    ],
)
def test_a_damaged_index_is_refused(copy: Path, change: Any, reason: str) -> None:
    index = copy.with_name(f"{copy.name}.index")
    index.write_bytes(change(index.read_bytes()))
    with pytest.raises(CheckpointError, match=rf"bert_model.ckpt.index is damaged.*({reason})"):
        TensorBundle(copy)


# A table that says what no TensorFlow would: the checksums are right, so the contents are read.


def varint(number: int) -> bytes:
    number %= 2**64
    low = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([*(byte | 0x80 for byte in low[:-1]), low[-1]])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def entry(
    *, dtype: int = 1, shape: tuple[int, ...] = (2,), shard: int = 0, offset: int = 0, size: int = 8
) -> bytes:
    dimensions = b"".join(field(2, field(1, dimension)) for dimension in shape)
    places = field(3, shard) + field(4, offset) + field(5, size)
    checksum = varint(6 << 3 | 5) + masked_crc32c(bytes(8)).to_bytes(4, "little")
    return field(1, dtype) + field(2, dimensions) + places + checksum


def block(entries: list[tuple[int, bytes, bytes]], compression: int = 0) -> bytes:
    """`entries`: how much each key shares, the rest of it, its value."""
    data = b"".join(
        varint(shared) + varint(len(rest)) + varint(len(value)) + rest + value
        for shared, rest, value in entries
    )
    data += bytes(4) + (1).to_bytes(4, "little") + bytes([compression])
    return data + masked_crc32c(data).to_bytes(4, "little")


def table(*blocks: bytes, handles: list[tuple[int, int]] | None = None) -> bytes:
    if handles is None:
        starts = [sum(map(len, blocks[:index])) for index in range(len(blocks))]
        handles = [(s, len(b) - 5) for s, b in zip(starts, blocks, strict=True)]
    index = block([(0, b"%d" % n, varint(s) + varint(b)) for n, (s, b) in enumerate(handles)])
    footer = varint(0) * 2 + varint(sum(map(len, blocks))) + varint(len(index) - 5)
    return (
        b"".join(blocks)
        + index
        + footer.ljust(40, b"\0")
        + 0xDB4775248B80FB57.to_bytes(8, "little")
    )


HEADER = (0, b"", field(1, 1))


def write(folder: Path, index: bytes) -> Path:
    (folder / "made.index").write_bytes(index)
    (folder / "made.data-00000-of-00001").write_bytes(bytes(8))
    return folder / "made"


def test_a_table_made_here_is_read(tmp_path: Path) -> None:
    prefix = write(tmp_path, table(block([HEADER, (0, b"name", entry())])))
    assert read_all(prefix)["name"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        (table(block([(0, b"name", entry())])), "lacks the header"),
        (table(block([(0, b"", field(1, 0))])), "counts 0 data files"),
        (table(block([(0, b"", field(1, -1))])), "counts .* data files"),
        (table(block([(0, b"", field(1, b"x"))])), "has another type"),
        (table(block([(0, b"", field(1, 1) + field(2, 1))])), "big-endian"),
        (table(block([(0, b"", field(1, 1) + field(3, field(2, 2)))])), "version 2"),
        (table(block([HEADER], compression=1)), "compressed"),
        (table(block([HEADER, (0, b"b", b""), (0, b"a", b"")])), "out of order"),
        (table(block([HEADER, (5, b"b", b"")])), "longer than its block"),
        (table(block([HEADER]), handles=[(0, 2**60)]), "said to end at byte"),
        (table(block([HEADER]), handles=[(0, len(block([HEADER])) - 5)] * 2), "overlap"),
        (table(block([HEADER, (0, b"a\x1b[2Jb", entry())])), r"has a name that is none \('a.x1b"),
        (table(block([HEADER, (0, b"a\xff", entry())])), "has a name that is none"),
        (table(block([HEADER, (0, b"a" * 1001, entry())])), "has a name that is none"),
        (table(block([HEADER, (0, b"name", b"\xff")])), "name has an entry that cannot be read"),
        (table(block([HEADER, (0, b"name", field(2, field(2, 1)))])), "name .* another type"),
        (table(block([HEADER, (0, b"name", entry(shard=1))])), "data file 1, and there are 1"),
        (table(block([HEADER, (0, b"name", entry(offset=1))])), "said to end at byte 9"),
        (table(block([HEADER, (0, b"name", entry(offset=-8))])), "said to end at byte"),
        (table(block([HEADER, (0, b"name", entry(size=2**62))])), "said to end at byte"),
        (
            table(block([HEADER, (0, b"name", entry()), (4, b"s", entry())])),
            "names lies over another",
        ),
        (table(block([HEADER, (0, b"name", entry(shape=(-2,)))])), "in the shape"),
        (table(block([HEADER, (0, b"name", entry(shape=(2**40, 2**40)))])), "in the shape"),
        (table(block([HEADER, (0, b"name", entry(shape=(1,) * 200 + (2,)))])), "in the shape"),
        (table(block([HEADER, (0, b"name", entry(shape=(0, 2**62), size=0))])), "in the shape"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nonsense_with_right_checksums_is_refused(
    tmp_path: Path, index: bytes, reason: str
) -> None:
    prefix = write(tmp_path, index)
    with pytest.raises(CheckpointError, match=rf"made.*{reason}"):
        read_all(prefix)


def test_keys_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    """Each key repeats the one before it: a small file, keys of gigabytes."""
    long = block([HEADER, (0, b"a" * 30_000, b""), *((30_000 + n, b"a", b"") for n in range(9000))])
    prefix = write(tmp_path, table(long))
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="keys take up more room"):
        read_sorted_table(prefix.with_name("made.index"))
    assert tracemalloc.get_traced_memory()[1] < 150e6
    tracemalloc.stop()


damages = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "insert"]), st.floats(0, 1), st.integers(0, 255)),
    min_size=1,
    max_size=3,
)


def damaged(data: bytes, changes: list[tuple[str, float, int]]) -> bytes:
    for kind, place, byte in changes:
        at = int(place * max(len(data) - 1, 0))
        if kind == "flip":
            data = data[:at] + bytes([(data[at] if data else 0) ^ (byte or 1)]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at]
        else:
            data = data[:at] + bytes([byte]) + data[at:]
    return data


@settings(
    max_examples=60, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(suffix=st.sampled_from(["index", "data-00000-of-00001"]), changes=damages)
def test_damage_of_any_kind_gives_an_error_or_the_right_values(
    tmp_path: Path, suffix: str, changes: list[tuple[str, float, int]]
) -> None:
    source = GOLDEN / BERT
    for name in "index", "data-00000-of-00001":
        data = source.with_name(f"{source.name}.{name}").read_bytes()
        (tmp_path / f"copy.{name}").write_bytes(damaged(data, changes) if name == suffix else data)
    try:
        read = read_all(tmp_path / "copy")
    except CheckpointError:
        return
    for name, values in expected_of(BERT).items():
        assert read[name].tobytes() == values.tobytes()


@settings(
    max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(message=st.binary(max_size=40), key=st.binary(max_size=8), changes=damages)
def test_any_message_with_right_checksums_gives_an_error_or_a_tensor(
    tmp_path: Path, message: bytes, key: bytes, changes: list[tuple[str, float, int]]
) -> None:
    for value in message, damaged(entry(), changes):
        prefix = write(tmp_path, table(block([HEADER, (0, b"n" + key, value)])))
        try:
            read = read_all(prefix)
        except CheckpointError:
            continue
        assert all(array.nbytes <= 8 for array in read.values())

"""Batches, filled up to few shapes and replayed, say what they say otherwise."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import DataError
from bertsmith.inference import graphed_encoder
from bertsmith.inference.features import attention_maps
from bertsmith.inference.graphed_encoder import (
    FEW_TOKENS,
    MAX_TOKENS,
    TIMES_SEEN,
    GraphedEncoder,
    Shape,
    StaticBatch,
    replay_batches,
)
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.tasks.model import BertForTasks

CONFIG = BertConfig(
    vocab_size=50,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=300,
    initializer_range=0.2,
)


def random_batch(
    draw: random.Random, *, fewest: int = 1, most: int = 20, shortest: int = 2, longest: int = 100
) -> Batch:
    lengths = [draw.randint(shortest, longest) for _ in range(draw.randint(fewest, most))]
    rows = [[draw.randrange(5, 50) for _ in range(length)] for length in lengths]
    return Batch.from_sequences(rows, [[0] * (len(row) - 1) + [1] for row in rows])


@pytest.mark.parametrize("max_positions", [60, 100, 512])
def test_a_shape_holds_the_batch_and_its_padding(max_positions: int) -> None:
    draw = random.Random(max_positions)
    shapes = set()
    for _ in range(300):
        batch = random_batch(draw, longest=draw.randint(2, max_positions))
        shape = Shape.holding(batch, max_positions=max_positions)
        static = StaticBatch(shape, torch.device("cpu"))
        static.fill(batch)
        lengths = static.batch.cu_seqlens.diff()
        assert static.batch.cu_seqlens[-1] == shape.num_tokens == static.batch.num_tokens
        assert lengths.min() >= 0
        assert lengths.max() <= shape.max_seqlen <= max_positions
        assert batch.max_seqlen <= shape.max_seqlen
        parts = 4 if batch.num_tokens <= FEW_TOKENS else 16
        assert shape.num_tokens - batch.num_tokens < max(64, batch.num_tokens / parts + 1)
        if batch.num_tokens <= FEW_TOKENS:  # of which each has a graph at once
            shapes.add(shape)
    assert len(shapes) < 100


def test_what_was_there_before_changes_nothing() -> None:
    torch.manual_seed(0)
    bert = Bert(CONFIG).eval()
    draw = random.Random(1)
    static = StaticBatch(Shape(2048, 64, 128), torch.device("cpu"))
    for _ in range(8):
        batch = random_batch(draw)
        static.fill(batch)
        with torch.inference_mode():
            expected, found = bert(batch), bert(static.batch)
        assert_same(expected, found, batch)


def assert_same(expected: BertOutput, found: BertOutput, batch: Batch) -> None:
    assert expected.pooled_output is not None
    assert found.pooled_output is not None
    for a, b, count in (
        (expected.hidden_states, found.hidden_states, batch.num_tokens),
        (expected.pooled_output, found.pooled_output, batch.num_sequences),
    ):
        assert len(a) == count
        torch.testing.assert_close(b[:count], a, atol=2e-5, rtol=1e-4)


class _Again:
    """Runs once more what was recorded, into the tensors that recording gave: as a graph does."""

    def __init__(self, run: Callable[[], BertOutput], results: BertOutput) -> None:
        self.run = run
        self.results = results

    def replay(self) -> None:
        with torch.inference_mode(mode=False), torch.no_grad():
            for place, new in zip(self.results, self.run(), strict=True):
                if isinstance(place, Tensor):
                    place.copy_(new)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Graphs that a CPU can replay, in the order of their making."""
    graphs: list[Any] = []

    def record(run: Callable[[], BertOutput], *others: Any, **more: Any) -> Any:
        results = run()
        graphs.append(_Again(run, results))
        return graphs[-1], results

    monkeypatch.setattr(graphed_encoder, "record", record)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
    return graphs


def graphed_and_plain() -> tuple[Bert, Bert]:
    torch.manual_seed(0)
    plain, graphed = Bert(CONFIG).eval(), Bert(CONFIG).eval()
    graphed.load_state_dict(plain.state_dict())
    replay_batches(graphed)
    return graphed, plain


def test_replayed_batches_say_what_they_say(recorded: list[Any]) -> None:
    graphed, plain = graphed_and_plain()
    draw = random.Random(2)
    batches = [random_batch(draw) for _ in range(12)]
    with torch.inference_mode():
        found = [graphed(batch) for batch in batches * 2]
        expected = [plain(batch) for batch in batches * 2]
    # All are looked at in the end: no answer is written over by a later one.
    for a, b, batch in zip(expected, found, batches * 2, strict=True):
        assert len(b.hidden_states) == batch.num_tokens
        assert_same(a, b, batch)
    assert 1 < len(recorded) <= len(batches)


def test_large_batches_are_replayed_when_their_shape_has_come_again(recorded: list[Any]) -> None:
    graphed, plain = graphed_and_plain()
    draw = random.Random(8)
    count = FEW_TOKENS // 100 + 20
    rows = [[[draw.randrange(5, 50) for _ in range(100)] for _ in range(count)] for _ in range(6)]
    batches = [Batch.from_sequences(each[: count - draw.randrange(2)]) for each in rows]
    once = Batch.from_sequences(rows[0] * 2)
    with torch.inference_mode():
        for number, batch in enumerate(batches, 1):
            assert_same(plain(batch), graphed(batch), batch)
            assert len(recorded) == (number >= TIMES_SEEN)
        assert_same(plain(once), graphed(once), once)
    assert len(recorded) == 1


def test_what_cannot_be_replayed_is_not(recorded: list[Any]) -> None:
    graphed, plain = graphed_and_plain()
    batch = random_batch(random.Random(3))
    graphed(batch).hidden_states.sum().backward()  # a gradient is asked for
    assert graphed.embeddings.wordpiece.weight.grad is not None
    with torch.inference_mode():
        assert len(graphed(batch, all_hidden_states=True).all_hidden_states) == 3
        row = [5] * 256
        large = Batch.from_sequences([row] * (MAX_TOKENS // len(row) + 1))
        for _ in range(TIMES_SEEN):
            assert_same(plain(large), graphed(large), large)
        with pytest.raises(DataError, match="longer than the model's 300 positions"):
            graphed(Batch.from_sequences([[5] * 301]))
    assert not recorded


def test_maps_of_attention_are_seen(recorded: list[Any]) -> None:
    model = BertForTasks(CONFIG, []).eval()
    batch = random_batch(random.Random(4))
    expected = attention_maps(model, batch)
    replay_batches(model.bert)
    with torch.inference_mode():
        model.bert(batch)
    found = attention_maps(model, batch)
    assert recorded
    assert len(found) == len(expected) == 2
    torch.testing.assert_close(found, expected)


def test_there_are_no_more_graphs_than_memory_allows(
    recorded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphed_encoder, "MAX_GRAPHS", 2)
    graphed, plain = graphed_and_plain()
    with torch.inference_mode():
        for count in (1, 3, 9, 3):
            batch = Batch.from_sequences([[7] * 50] * count)
            assert_same(plain(batch), graphed(batch), batch)
    assert len(recorded) == 2


def test_without_graphs_there_are_answers_and_a_warning(
    recorded: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*given: Any, **more: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(graphed_encoder, "record", fails)
    graphed, plain = graphed_and_plain()
    batch = random_batch(random.Random(5))
    with torch.inference_mode(), caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert_same(plain(batch), graphed(batch), batch)
    assert caplog.messages == [
        "batches are computed without CUDA graphs: operation not permitted when stream is capturing"
    ]
    assert not recorded


def on_a_gpu() -> tuple[GraphedEncoder, Bert]:
    config = CONFIG.replace(hidden_size=128)
    torch.manual_seed(0)
    plain, graphed = Bert(config).eval().cuda(), Bert(config).eval().cuda()
    graphed.load_state_dict(plain.state_dict())
    return GraphedEncoder(graphed), plain


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_gpu_replays_them(dtype: torch.dtype, caplog: pytest.LogCaptureFixture) -> None:
    graphed, plain = on_a_gpu()
    draw = random.Random(6)
    batches = [random_batch(draw).to("cuda") for _ in range(20)]
    with torch.inference_mode(), torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
        found = [graphed(batch) for batch in batches * 2]
        expected = [plain(batch) for batch in batches * 2]
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b.hidden_states, a.hidden_states, atol=0.05, rtol=0.05)
        torch.testing.assert_close(b.pooled_output, a.pooled_output, atol=0.05, rtol=0.05)
    assert not caplog.messages
    assert len(graphed._graphs) > 1


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_replays_large_batches_with_own_kernels(
    dtype: torch.dtype, caplog: pytest.LogCaptureFixture
) -> None:
    graphed, plain = on_a_gpu()
    draw = random.Random(9)
    large = [
        random_batch(draw, fewest=70, most=90, shortest=130, longest=300).to("cuda")
        for _ in range(20)
    ]
    assert min(batch.num_tokens for batch in large) > 8192  # where own kernels begin
    with torch.inference_mode(), torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
        found = [graphed(batch) for batch in large * TIMES_SEEN]
        expected = [plain(batch) for batch in large * TIMES_SEEN]
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b.hidden_states, a.hidden_states, atol=0.05, rtol=0.05)
        torch.testing.assert_close(b.pooled_output, a.pooled_output, atol=0.05, rtol=0.05)
    assert not caplog.messages
    assert len(graphed._graphs) > 1

"""Batches of few shapes say what the batches said, and replayed passes do what passes do."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.conftest import write_recipe
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.ops.ragged import row_indices
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.multiple_choice import MultipleChoice
from bertsmith.tasks.question_answering import QuestionAnswering
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.tasks.task import Task
from bertsmith.tasks.token_classification import TokenClassification
from bertsmith.training.cuda_graphs import GraphedPasses, _padded_targets, filled_to_shape
from bertsmith.training.metrics_file import read_metrics
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.pretraining import pretrain

CONFIG = BertConfig(
    vocab_size=50,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=128,
    initializer_range=0.2,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)


def random_batch(seed: int, *, sequences: int = 6, longest: int = 40) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, longest + 1, (sequences,), generator=generator).tolist()
    rows = [torch.randint(5, 50, (n,), generator=generator).tolist() for n in lengths]
    return Batch.from_sequences(rows, [[0] * (len(row) - 2) + [1] * 2 for row in rows])


@pytest.mark.parametrize("seed", range(5))
def test_shapes_are_few_and_what_is_in_them_stays(seed: int) -> None:
    batch = random_batch(seed)
    filled = filled_to_shape(batch, pad_id=0, max_positions=128)
    assert filled.num_tokens % 64 == 0
    assert filled.num_tokens - batch.num_tokens < 64
    assert filled.max_seqlen == 64
    assert filled.num_sequences == batch.num_sequences + 1
    assert filled.is_static
    assert torch.equal(filled.input_ids[: batch.num_tokens], batch.input_ids)
    assert torch.equal(filled.cu_seqlens[: len(batch.cu_seqlens)], batch.cu_seqlens)
    assert filled.cu_seqlens[-1] == filled.num_tokens
    assert filled.cu_seqlens.diff().min() >= 0
    assert filled.cu_seqlens.diff().max() <= filled.max_seqlen


def test_the_longest_sequence_is_no_longer_than_the_model_reads() -> None:
    batch = Batch.from_sequences([[5] * 100])
    assert filled_to_shape(batch, pad_id=0, max_positions=100).max_seqlen == 100


def test_labels_that_are_as_many_as_the_longest_sequence_has_tokens_stay_so_many() -> None:
    batch = Batch.from_sequences([[5] * 28, [6] * 20])
    filled = filled_to_shape(batch, pad_id=0, max_positions=128)
    targets = {"labels": torch.ones(2, 28), "token_indices": torch.zeros(2, 28, dtype=torch.long)}
    padded = _padded_targets(targets, batch, filled)
    assert padded["labels"].shape == (filled.num_sequences, 28)
    assert torch.equal(padded["labels"][:2], targets["labels"])
    assert padded["labels"][2:].isnan().all()
    assert padded["token_indices"].shape == (filled.num_sequences, filled.max_seqlen)


@pytest.mark.parametrize("attention_dropout", [0.0, 0.1])
def test_padding_changes_nothing(attention_dropout: float) -> None:
    torch.manual_seed(0)
    config = CONFIG.replace(attention_probs_dropout_prob=attention_dropout)
    model = BertForTasks(config, [SequenceClassification(labels=["x", "y"])])
    model.train(attention_dropout == 0)
    batch = random_batch(1)
    plain = model(batch, {})["sequence_classification"]
    filled = filled_to_shape(batch, pad_id=0, max_positions=128)
    padded = model(filled, {})["sequence_classification"]
    assert padded.isfinite().all()
    torch.testing.assert_close(padded[:6], plain, atol=1e-5, rtol=1e-5)
    padded[:6].sum().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


def passes_of(model: BertForTasks) -> Any:
    def passes(batch: Batch, targets: dict[str, Tensor]) -> Any:
        logits = model(batch, targets)
        losses = model.losses(logits, targets)
        sum(losses.values()).backward()  # type: ignore[union-attr]
        return logits, losses

    return passes


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("task", ["sequence", "token", "answer", "choice"])
def test_replayed_passes_are_the_passes(task: str) -> None:
    torch.manual_seed(0)
    kind: Task = SequenceClassification(labels=["x", "y"])
    if task == "token":
        kind = TokenClassification(labels=["x", "y"])
    if task == "answer":
        kind = QuestionAnswering()
    if task == "choice":
        kind = MultipleChoice()
    eager = BertForTasks(CONFIG, [kind]).cuda()
    graphed = copy.deepcopy(eager)
    parameters = list(graphed.parameters())
    passes = GraphedPasses(
        passes_of(graphed), parameters, torch.device("cuda"), pad_id=0, max_positions=128
    )
    for seed in [1, 1, 2, 1, 3, 2, 1, 3, 3]:
        batch = random_batch(seed)
        lengths = batch.cu_seqlens.diff().tolist()
        generator = torch.Generator().manual_seed(seed)
        shape, others = {
            "sequence": ((6,), {}),
            "token": ((batch.num_tokens,), {}),
            "answer": ((6, 2), {"token_indices": row_indices(lengths)}),
            "choice": ((2,), {"choice_indices": row_indices([3, 3])}),
        }[task]
        targets = {kind.target: torch.randint(2, shape, generator=generator)} | others
        count = shape[0]
        for model in (eager, graphed):
            model.zero_grad(set_to_none=model is eager)
        moved = {key: value.cuda() for key, value in targets.items()}
        _, losses = passes_of(eager)(batch.to("cuda"), moved)
        (_, replayed), rows = passes(batch, targets)
        assert rows[kind.target][:count].tolist() == targets[kind.target].tolist()
        torch.testing.assert_close(replayed, losses, atol=1e-4, rtol=1e-4)
        for ours, theirs in zip(parameters, eager.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4, rtol=1e-3)
    assert len(passes._graphs) >= 2


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_capture_leaves_gradients_and_the_generator_as_they_were() -> None:
    torch.manual_seed(0)
    config = CONFIG.replace(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.1)
    model = BertForTasks(config, [SequenceClassification(labels=["x", "y"])]).cuda()
    parameters = list(model.parameters())
    passes = GraphedPasses(
        passes_of(model), parameters, torch.device("cuda"), pad_id=0, max_positions=128
    )
    batch, targets = random_batch(1), {"labels": torch.tensor([0, 1, 0, 1, 0, 1])}
    losses = []
    for _ in range(4):
        (_, found), _ = passes(batch, targets)
        losses.append(float(found["sequence_classification"]))
    assert len(set(losses)) == 4  # dropout differs from replay to replay
    # Gradients have added up over four runs: warm-up and capture left none behind.
    total = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in total)
    torch.cuda.manual_seed(7)
    first = float(passes(batch, targets)[0][1]["sequence_classification"])
    torch.cuda.manual_seed(7)
    assert float(passes(batch, targets)[0][1]["sequence_classification"]) == first


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_pretraining_by_graphs_is_pretraining(tmp_path: Path, corpus: Path, precision: str) -> None:
    """Sequences that become longer and steps that grow are in it; the optimizers are outside."""
    settings = (
        *("train.device=cuda", "train.compile=true", f"train.precision={precision}"),
        *("model.hidden_size=128", "model.intermediate_size=256", "optimizer.name=muon"),
        *("model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0"),
        *("data.short_seqlen=16", "train.accumulation_steps=2"),
        *("train.rampup_accumulation_steps=1", "log.every_steps=1"),
    )
    losses = {}
    for with_graphs in ("false", "true"):
        path = write_recipe(tmp_path / "r.toml", corpus, tmp_path / with_graphs, steps=30)
        own = f"train.cuda_graphs={with_graphs}"
        pretrain(PretrainRecipe.load(path, (*settings, own)))
        lines = read_metrics(tmp_path / with_graphs / "metrics.jsonl")
        losses[with_graphs] = [line["loss"] for line in lines]
    assert losses["true"][-1] < losses["true"][0]
    assert losses["true"] == pytest.approx(losses["false"], rel=0.02)

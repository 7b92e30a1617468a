"""The loop's arithmetic: clipping, accumulation, precision, checkpointing and what it logs."""

from __future__ import annotations

import itertools
import math
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.data.loader import LoadedBatch, Position
from bertsmith.export.model_folder import load_model
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_sentence import NextSentence
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from bertsmith.training import trainer as module
from bertsmith.training.checkpoint import Checkpoints
from bertsmith.training.held_out import HeldOut
from bertsmith.training.log import LogSettings, RunLog
from bertsmith.training.metrics_file import read_metrics
from bertsmith.training.optimizer import OptimizerSettings
from bertsmith.training.recipe import TrainSettings
from bertsmith.training.schedule import ScheduleSettings
from bertsmith.training.stages import Stage
from bertsmith.training.trainer import Trainer

PIECES = [*SPECIAL_TOKENS, *(f"w{i}" for i in range(15))]
CONFIG = BertConfig(
    vocab_size=len(PIECES),
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=16,
    initializer_range=0.1,
)
Losses = dict[str, Tensor]
Make = Callable[..., Trainer]


class Source:
    """Batches of random pairs; of a `period` of 1 they are all the same."""

    def __init__(self, period: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.made = []
        for _ in range(period):
            rows = torch.randint(5, len(PIECES), (8, 10), generator=generator)
            rows[:, 0], rows[:, 9] = 2, 3
            rows[:, 4] = 4
            batch = Batch.from_sequences(rows.tolist(), [[0] * 6 + [1] * 4] * 8)
            targets = {
                "masked_positions": torch.arange(8) * 10 + 4,
                "masked_labels": torch.randint(5, len(PIECES), (8,), generator=generator),
                "next_sentence_labels": torch.randint(2, (8,), generator=generator),
            }
            self.made.append((batch, targets))

    def batches(self, position: Position | None = None) -> Generator[LoadedBatch, None, None]:
        for index, (batch, targets) in enumerate(itertools.cycle(self.made)):
            yield LoadedBatch(batch, targets, Position(batch=index))

    def epoch_of(self, position: Position) -> int:
        return position.epoch


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make a trainer of a new tiny model; `gradients` and `losses` note what each step saw."""
    logs = []

    def make(
        *, steps: int = 1, period: int = 1, max_grad_norm: float = 1e9, dropout: float = 0.0,
        scale: float = 1.0, every: int = 1, held_out: HeldOut | None = None, **train: Any,
    ) -> Trainer:  # fmt: skip
        folder = tmp_path / str(len(logs))
        folder.mkdir()
        logs.append(RunLog(folder, LogSettings()))
        torch.manual_seed(0)
        config = CONFIG.replace(hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
        trainer = Trainer(
            Scaled(config, scale),
            Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True),
            [Stage(Source(period))],
            held_out=held_out,
            settings=TrainSettings(output=folder, **{"precision": "fp32"} | train),
            steps=steps,
            optimizer=OptimizerSettings(learning_rate=1e-3, max_grad_norm=max_grad_norm),
            schedule=ScheduleSettings(),
            checkpoints=Checkpoints(folder / "checkpoints", keep=train.get("keep_checkpoints", 1)),
            log=logs[-1],
            log_every_steps=every,
            recipe={},
        )
        step = trainer.optimizers[0].step
        trainer.optimizers[0].step = lambda: (note_gradients(trainer), step())  # type: ignore
        trainer.fit()
        return trainer

    yield make
    for log in logs:
        log.__exit__(None, None, None)


class Scaled(BertForTasks):
    """A model whose losses are larger than they should be, and which notes them."""

    def __init__(self, config: BertConfig, scale: float) -> None:
        super().__init__(config, [MaskedLM(), NextSentence()])
        self.scale = scale
        self.noted: list[dict[str, float]] = []
        self.gradients: list[list[Tensor]] = []

    def losses(self, logits: Any, targets: Any) -> Losses:
        losses = {name: self.scale * x for name, x in super().losses(logits, targets).items()}
        self.noted.append({name: x.item() for name, x in losses.items()})
        return losses


def note_gradients(trainer: Trainer) -> None:
    grads = [p.grad.clone() for p in trainer.parameters if p.grad is not None]
    trainer.model.gradients.append(grads)  # type: ignore[union-attr, operator]


def gradients(trainer: Trainer, step: int = 0) -> list[Tensor]:
    return trainer.model.gradients[step]  # type: ignore[index, return-value]


def norm_of(grads: list[Tensor]) -> float:
    return float(torch.stack([grad.norm() for grad in grads]).norm())


def log_lines(trainer: Trainer) -> list[dict[str, Any]]:
    return read_metrics(trainer.settings.output / "metrics.jsonl")


def test_a_huge_gradient_is_clipped_before_the_step_and_logged_as_it_was(make: Make) -> None:
    plain = make()
    clipped = make(scale=1e6, max_grad_norm=1.0)
    assert norm_of(gradients(clipped)) == pytest.approx(1.0, rel=1e-4)
    direction = [grad / norm_of(gradients(plain)) for grad in gradients(plain)]
    torch.testing.assert_close(gradients(clipped), direction, rtol=1e-3, atol=1e-6)
    assert log_lines(clipped)[0]["grad_norm"] == pytest.approx(
        1e6 * norm_of(gradients(plain)), rel=1e-3
    )


def test_a_gradient_below_the_limit_is_left_alone(make: Make) -> None:
    plain, limited = make(), make(max_grad_norm=1e6)
    for one, other in zip(gradients(plain), gradients(limited), strict=True):
        assert torch.equal(one, other)


def test_equal_microbatches_make_the_step_of_one(make: Make) -> None:
    one, four = make(), make(accumulation_steps=4)
    torch.testing.assert_close(gradients(one), gradients(four), rtol=1e-4, atol=1e-7)
    assert four.state.tokens == 4 * one.state.tokens
    assert len(gradients(four)) == len(four.parameters)
    assert log_lines(four)[0]["loss"] == pytest.approx(log_lines(one)[0]["loss"], rel=1e-5)


def test_unequal_microbatches_make_the_mean_of_their_gradients(make: Make) -> None:
    together = make(period=2, accumulation_steps=2)
    first, second = Source(2).made
    torch.manual_seed(0)
    model = BertForTasks(
        CONFIG.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        [MaskedLM(), NextSentence()],
    )
    for batch, targets in (first, second):
        losses = model.losses(model(batch, targets), targets)
        (torch.stack(list(losses.values())).sum() / 2).backward()
    expected = [parameter.grad for parameter in model.parameters()]
    torch.testing.assert_close(gradients(together), expected, rtol=1e-4, atol=1e-7)


def test_gradient_checkpointing_changes_no_gradient_even_with_dropout(make: Make) -> None:
    plain = make(dropout=0.1)
    saving = make(dropout=0.1, gradient_checkpointing=True)
    # The same operations on the same numbers in the same order; dropout draws the same.
    torch.testing.assert_close(gradients(plain), gradients(saving), rtol=1e-5, atol=1e-8)
    assert norm_of(gradients(plain)) != pytest.approx(norm_of(gradients(make())), rel=1e-3)


def test_bf16_gives_nearly_the_same_gradient_and_float32_parameters(make: Make) -> None:
    exact, rough = make(), make(precision="bf16")
    # bfloat16 has 8 bits, an error of 0.4 % each; through two layers the direction stays.
    one, other = (torch.cat([g.flatten() for g in gradients(t)]) for t in (exact, rough))
    assert torch.cosine_similarity(one, other, dim=0) > 0.99
    assert log_lines(rough)[0]["loss"] == pytest.approx(log_lines(exact)[0]["loss"], rel=0.02)
    assert log_lines(rough)[0]["loss"] != log_lines(exact)[0]["loss"]
    assert {parameter.dtype for parameter in rough.parameters} == {torch.float32}


def test_a_line_of_the_log_averages_the_steps_since_the_one_before(make: Make) -> None:
    trainer = make(steps=6, period=6, every=3)
    noted = trainer.model.noted
    lines = {line["step"]: line for line in log_lines(trainer)}
    before = 0
    for step, line in lines.items():
        for name in ("masked_lm", "next_sentence"):
            losses = [losses[name] for losses in noted[before:step]]  # type: ignore[index]
            assert line[f"{name}_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
        assert line["loss"] == pytest.approx(line["masked_lm_loss"] + line["next_sentence_loss"])
        before = step
    assert {3, 6} <= lines.keys()
    assert before == 6


def test_the_learning_rate_in_the_log_is_the_schedules(make: Make) -> None:
    lines = log_lines(make(steps=10))
    rates = [line["learning_rate"] for line in lines]
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[-1] < max(rates) <= 1e-3


def test_a_run_ends_with_one_checkpoint_of_its_last_step(make: Make) -> None:
    trainer = make(steps=4, checkpoint_every_steps=1)
    assert trainer.checkpoints.steps() == [4]
    assert trainer.state.step == 4
    assert trainer.state.tokens == 4 * 80


def test_checkpoints_are_a_minute_apart_where_no_number_of_steps_is_said(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make(steps=40, keep_checkpoints=0).checkpoints.steps() == []
    saved: list[int] = []
    save = Checkpoints.save
    monkeypatch.setattr(
        Checkpoints,
        "save",
        lambda self, snapshot: (saved.append(snapshot.state.step), save(self, snapshot)),
    )
    make(steps=40)
    assert saved == [40]
    monkeypatch.setattr(module, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    make(steps=40, keep_checkpoints=0)
    assert saved[1:] == list(range(4, 41, 4))


def test_of_equally_good_models_the_surest_is_kept_and_patience_counts_the_figure(
    make: Make,
) -> None:
    figures = [(0.5, 0.9), (0.8, 0.7), (0.8, 0.6), (0.8, 0.65), (0.9, 9.0)]
    measured = iter([{"accuracy": accuracy, "loss": loss} for accuracy, loss in figures])
    held_out = HeldOut(lambda *_: next(measured), "accuracy", higher_is_better=True)
    state = make(steps=5, held_out=held_out, eval_every_steps=1, early_stopping_patience=2).state
    assert (state.step, state.best_step) == (4, 3)
    assert state.best_figures == {"accuracy": 0.8, "loss": 0.6}


def test_the_best_model_is_kept_in_memory_and_written_with_the_next_checkpoint(make: Make) -> None:
    weights = []

    def measure(model: BertForTasks, *_: Any) -> dict[str, float]:
        weights.append({k: v.clone() for k, v in model.state_dict().items()})
        return {"accuracy": 0.9 if len(weights) == 2 else 0.5, "loss": 0.1}

    held_out = HeldOut(measure, "accuracy", higher_is_better=True)
    trainer = make(steps=6, held_out=held_out, eval_every_steps=1, checkpoint_every_steps=3)
    folder = trainer.settings.output / "checkpoints"
    assert {path.name for path in folder.iterdir()} == {"step-00000006", "best-00000002"}
    assert trainer.checkpoints.latest().best_step == 2
    trainer.restore_best()
    best = load_model(folder / "best-00000002").model.state_dict()
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, weights[1][name]), name
        assert torch.equal(best[name], value), name
    # What a run that begins anew finds of another's would be taken for its own.
    trainer.checkpoints.remove_after(1)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("figure", ["accuracy", "loss"])
def test_what_is_no_number_is_worse_than_any(make: Make, figure: str) -> None:
    measured = iter([{"accuracy": x, "loss": x} for x in (math.nan, 0.4, math.nan)])
    held_out = HeldOut(lambda *_: next(measured), figure, higher_is_better=figure == "accuracy")
    state = make(steps=3, held_out=held_out, eval_every_steps=1).state
    assert (state.best_step, state.evaluations_since_best) == (2, 1)
    assert state.best_figures[figure] == 0.4


def test_speed_is_measured_from_the_end_of_an_evaluation(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[float] = []
    monkeypatch.setattr(RunLog, "restart", lambda _, seconds: begun.append(seconds))

    def measure(*_: object) -> dict[str, float]:
        time.sleep(0.05)
        return {"accuracy": 1.0, "loss": 1.0}

    held_out = HeldOut(measure, "accuracy", higher_is_better=True)
    trainer = make(steps=3, held_out=held_out, eval_every_steps=1)
    lines = read_metrics(trainer.settings.output / "metrics.jsonl")
    ended = [line["elapsed_seconds"] for line in lines if line["split"] == "eval"]
    assert len(begun) == len(ended) == 3
    assert all(start >= end + 0.049 for start, end in zip(begun, ended, strict=True))


@pytest.mark.parametrize("is_damaged", [False, True])
def test_the_best_model_of_every_checkpoint_that_is_kept_is_kept(
    make: Make, *, is_damaged: bool
) -> None:
    measured = iter([0.5, 0.6, 0.4, 0.7, 0.5, 0.9])
    held_out = HeldOut(
        lambda *_: {"accuracy": next(measured), "loss": 0.1}, "accuracy", higher_is_better=True
    )
    trainer = make(
        steps=6, held_out=held_out, eval_every_steps=1, checkpoint_every_steps=3, keep_checkpoints=2
    )
    folder = trainer.settings.output / "checkpoints"
    assert {path.name for path in folder.iterdir()} == {
        "step-00000003", "best-00000002", "step-00000006",
    }  # fmt: skip
    # As the message on a damaged checkpoint says, to go on from the one before.
    checkpoints = Checkpoints(folder, keep=2)
    if is_damaged:
        (folder / "step-00000003" / "training.json").write_text("{")
        checkpoints._prune()
        assert not (folder / "best-00000002").exists()
        assert (folder / "step-00000006").exists()
        return
    shutil.rmtree(folder / "step-00000006")
    trainer.checkpoints = checkpoints
    trainer.resume(checkpoints.latest())
    trainer._best = None
    trainer.restore_best()
    best = load_model(folder / "best-00000002").model.state_dict()
    assert all(torch.equal(value, best[k]) for k, value in trainer.model.state_dict().items())


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_the_deciding_figure_counts_before_the_loss(higher_is_better: bool) -> None:
    held_out = HeldOut(lambda *_: {}, "figure", higher_is_better=higher_is_better)
    better, worse = (1.0, 0.0) if higher_is_better else (0.0, 1.0)
    order = [(worse, 0.1), (better, 0.9), (better, 0.8)]
    ranks = [held_out.rank({"figure": figure, "loss": loss}) for figure, loss in order]
    assert ranks == sorted(ranks)

"""One batch is learned by heart where that is possible, and where it is not, the cause is named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith.config import BertConfig
from bertsmith.errors import DataError
from bertsmith.export.model_folder import save_model
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.overfit import MAX_STEPS, Overfit, overfit_one_batch

WORDS = [f"w{i}" for i in range(20)]
CLASSES = [f"{word}\t{'xyz'[i % 3]}" for i, word in enumerate(WORDS)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overfit") / "model"
    torch.manual_seed(0)
    tokenizer = Tokenizer.from_vocabulary(Vocabulary([*SPECIAL_TOKENS, *WORDS]), lowercase=True)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
        initializer_range=0.1,
    )
    save_model(folder, BertForTasks(config, [MaskedLM()]), tokenizer)
    return folder


def overfit(
    model: Path,
    folder: Path,
    rows: list[str],
    name: str = "sequence_classification",
    rate: float = 3e-3,
    **task: Any,
) -> Overfit:
    (folder / "train.tsv").write_text("\n".join(["text\tlabel", *rows]))
    done = overfit_one_batch(
        FinetuneRecipe.from_dict(
            {
                "task": {"name": name} | task,
                "model": {"init": str(model), "hidden_dropout_prob": 0.9},
                "data": {"train": str(folder / "train.tsv"), "eval": "nowhere.tsv"},
                "train": {"output": str(folder / "run"), "num_threads": 1, "precision": "fp32"},
                "optimizer": {"learning_rate": rate},
            }
        )
    )
    assert [path.name for path in folder.iterdir()] == ["train.tsv"]
    return done


def test_labels_are_learned_whatever_regularizes(model: Path, tmp_path: Path) -> None:
    done = overfit(model, tmp_path, CLASSES, classifier_dropout=0.9, label_smoothing=0.3)
    assert done.is_learned
    assert done.steps < MAX_STEPS
    assert (done.figures["accuracy"], done.figure, done.causes) == (1, "accuracy", ())
    assert done.figures["loss"] < 0.1 * done.first_loss
    # 16 of 20 records, all labels among them.
    assert done.num_records == 16
    assert done.label_counts == {"x": 6, "y": 5, "z": 5}


def test_a_rare_label_comes_into_the_batch(model: Path, tmp_path: Path) -> None:
    rows = [f"{word}\tx" for word in WORDS] + ["w1 w2\ty"]
    assert overfit(model, tmp_path, rows).label_counts == {"x": 15, "y": 1}


def test_scores_are_learned(model: Path, tmp_path: Path) -> None:
    rows = [f"{word}\t{i / 40}" for i, word in enumerate(WORDS)]
    done = overfit(model, tmp_path, rows, "sequence_regression")
    assert done.is_learned
    assert done.figures["pearson"] > 0.95
    assert done.label_counts == {}


def test_windows_make_a_batch_of_their_own(model: Path, tmp_path: Path) -> None:
    rows = [f"{' '.join([word] * 30)}\t{'xy'[i % 2]}" for i, word in enumerate(WORDS)]
    done = overfit(model, tmp_path, rows, long_text="windows")
    assert done.is_learned
    assert done.num_records == 5  # of three windows each; a sixth would make more than 16


def test_labels_that_cannot_be_learned_are_not(model: Path, tmp_path: Path) -> None:
    done = overfit(model, tmp_path, ["w1\tx", "w1\ty"] * 8)
    assert not done.is_learned
    assert done.steps == MAX_STEPS
    assert done.figures["accuracy"] == 0.5
    place = tmp_path / "train.tsv"
    assert done.causes[0].startswith(
        f"{place}:3 (y) and {place}:2 (x) are the same to the model and their labels differ"
    )


def test_a_rate_too_low_is_named(model: Path, tmp_path: Path) -> None:
    done = overfit(model, tmp_path, CLASSES, rate=1e-7)
    assert not done.is_learned
    (cause,) = done.causes
    assert "optimizer.learning_rate (1e-07) is too low" in cause


def test_a_rate_far_too_high_is_named(model: Path, tmp_path: Path) -> None:
    done = overfit(model, tmp_path, CLASSES, rate=30.0)
    assert not done.is_learned
    assert "optimizer.learning_rate (30)" in done.causes[-1]
    assert "too high" in done.causes[-1]


def test_words_that_the_model_does_not_know_are_named(model: Path, tmp_path: Path) -> None:
    rows = [f"{word}\t{'xy'[i % 2]}" for i, word in enumerate(["one", "two", "three", "four"])]
    done = overfit(model, tmp_path, rows)
    assert not done.is_learned
    assert any("33% of the wordpieces are [UNK]" in cause for cause in done.causes)


def test_bad_records_are_an_error(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.tsv:3: label is empty"):
        overfit(model, tmp_path, ["w1\tx", "w2\t"])
    assert Counter(path.name for path in tmp_path.iterdir()) == {"train.tsv": 1}

"""Settings that usually go wrong are named, usual ones are not."""

from __future__ import annotations

from typing import Any

import pytest

from bertsmith.config import BertConfig
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.record_check import FileCheck, Lengths, RecordCheck, Twins
from bertsmith.training.setting_warnings import setting_warnings


def warn(
    *,
    rate: float = 5e-5,
    batch_size: int = 32,
    size: str = "base",
    per_label: int = 100,
    num_cut: int = 0,
    max_length: int = 128,
    max_seqlen: int = 128,
    patience: int | None = None,
    mode: str = "finetune",
    **task: Any,
) -> list[str]:
    recipe = FinetuneRecipe.from_dict(
        {
            "task": {"name": "sequence_classification"},
            "mode": mode,
            "model": {"init": "model"},
            "data": {"train": "train.tsv", "max_seqlen": max_seqlen},
            "train": {"output": "run", "batch_size": batch_size}
            | ({} if patience is None else {"early_stopping_patience": patience}),
            "optimizer": {"learning_rate": rate},
        }
    )
    train = FileCheck(
        num_records=2 * per_label,
        label_counts={"x": per_label, "y": per_label},
        lengths=Lengths(20, 300, 900),
        num_long=num_cut,
        num_cut=num_cut,
        num_windows=2 * per_label + 3 * num_cut,
        unknown_share=0,
    )
    check = RecordCheck(
        max_length=max_length,
        train=train,
        eval=None,
        repeated=Twins(),
        contradicting=Twins(),
        shared=Twins(),
    )
    config = BertConfig.preset(size)
    return list(setting_warnings(recipe, SequenceClassification(**task), config, check))


@pytest.mark.parametrize(
    "usual",
    [
        {},
        {"rate": 1e-4},
        {"rate": 1e-3, "size": "mini"},
        {"rate": 1e-2, "size": "tiny"},
        {"rate": 1e-3, "mode": "features"},
        {"num_cut": 9},
        {"per_label": 16},
    ],
)
def test_nothing_is_said_of_what_is_usual(usual: Any) -> None:
    assert warn(**usual) == []


@pytest.mark.parametrize(
    ("unusual", "message"),
    [
        ({"rate": 2e-4}, "optimizer.learning_rate (0.0002) is high for a model with a hidden_size"),
        ({"rate": 2e-3, "size": "mini"}, "optimizer.learning_rate (0.002) is high for a model"),
        ({"patience": 2}, "train.early_stopping_patience is set and data.eval is not"),
        (
            {"num_cut": 60, "long_text": "windows"},
            "30% of the training records lose text at 128 wordpieces: the shorter text of a pair "
            "is cut at half of them; raise data.max_seqlen to 300",
        ),
        (
            {"num_cut": 60, "max_length": 512, "long_text": "windows"},
            "30% of the training records lose text at 512 wordpieces: the shorter text of a pair "
            "is cut at half of them",
        ),
        (
            {"per_label": 9, "batch_size": 4},
            "there are few training records (18) for the labels (2)",
        ),
        ({"per_label": 15}, "a step takes 32 records and there are 30; lower train.batch_size"),
        (
            {"num_cut": 60},
            "30% of the training records lose text at 128 wordpieces; raise data.max_seqlen to "
            "300, or read them in windows with task.long_text=windows, about 1.9 for each record",
        ),
        (
            {"num_cut": 60, "max_length": 512},
            "30% of the training records lose text at 512 wordpieces; read them in windows",
        ),
        ({"max_seqlen": 600}, "data.max_seqlen (600) is more than the model's positions (512)"),
    ],
)
def test_what_goes_wrong_is_named(unusual: Any, message: str) -> None:
    (said,) = warn(**unusual)
    assert said.startswith(message)

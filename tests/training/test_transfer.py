"""Which parts of a pre-trained encoder are frozen and which start anew."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.export.load_report import LoadReport
from bertsmith.model.bert import Bert
from bertsmith.training.finetune_recipe import FinetuneModel
from bertsmith.training.transfer import set_up_encoder

LAYERS = 3
HEAD = "heads.sequence_classification.classifier.weight"


@pytest.fixture
def bert() -> Bert:
    """An encoder that is plainly not fresh."""
    torch.manual_seed(0)
    bert = Bert(
        BertConfig(
            vocab_size=20,
            hidden_size=8,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=8,
        )
    )
    for parameter in bert.parameters():
        parameter.data += 1.0
    return bert


def set_up(bert: Bert, **settings: int) -> LoadReport:
    used = [f"bert.{name}" for name, _ in bert.named_parameters()]
    report = LoadReport(used=used, new=[HEAD], left_over=[])
    return set_up_encoder(bert, FinetuneModel(init=Path("model"), **settings), report)


def modules_with(bert: Bert, names: list[str]) -> set[str]:
    """`embeddings`, `0`, `1`, ..., `pooler`: of which every parameter or none is named."""
    every = {name for name, _ in bert.named_parameters()}
    plain = {name.removeprefix("bert.") for name in names}
    found = {module_of(name) for name in plain}
    assert {name for name in every if module_of(name) in found} == plain
    return found


def module_of(name: str) -> str:
    return name.split(".")[2] if name.startswith("encoder") else name.split(".")[0]


@pytest.mark.parametrize(
    ("settings", "frozen"),
    [
        ({}, set()),
        ({"freeze_embeddings": True}, {"embeddings"}),
        ({"freeze_layers": 2}, {"embeddings", "0", "1"}),
        ({"freeze_layers": 3}, {"embeddings", "0", "1", "2"}),
    ],
)
def test_frozen_parts_get_no_gradient_and_the_others_do(
    bert: Bert, settings: dict[str, int], frozen: set[str]
) -> None:
    report = set_up(bert, **settings)
    assert modules_with(bert, report.frozen) == frozen
    batch = Batch.from_sequences([[1, 2, 3], [4, 5]], [[0, 0, 0], [0, 1]])
    reached: list[bool] = []
    for layer in bert.encoder.layers:
        layer.register_forward_hook(lambda *args: reached.append(args[-1].requires_grad))
    pooled = bert(batch).pooled_output
    assert pooled is not None
    pooled.sum().backward()
    with_gradient = [name for name, p in bert.named_parameters() if p.grad is not None]
    every = {"embeddings", "pooler", *map(str, range(LAYERS))}
    assert {module_of(name) for name in with_gradient} == every - frozen
    # Nothing is kept for the backward pass below the lowest layer that is trained.
    assert reached == [str(i) not in frozen for i in range(LAYERS)]


def test_nothing_starts_anew_that_was_not_asked_to(bert: Bert) -> None:
    before = {name: p.clone() for name, p in bert.named_parameters()}
    report = set_up(bert)
    assert all(torch.equal(p, before[name]) for name, p in bert.named_parameters())
    assert report.new == [HEAD]
    assert len(report.lines()) == 3


def test_the_top_layers_and_the_pooler_start_anew_by_the_seed(bert: Bert) -> None:
    before = {name: p.clone() for name, p in bert.named_parameters()}
    torch.manual_seed(7)
    report = set_up(bert, reinit_layers=2)
    after = {name: p.detach().clone() for name, p in bert.named_parameters()}
    changed = [name for name in after if not torch.equal(after[name], before[name])]
    assert modules_with(bert, changed) == {"1", "2", "pooler"}
    assert report.new == [*(f"bert.{name}" for name in changed), HEAD]
    assert not set(report.new) & set(report.used)
    # As a new model starts.
    for name in changed:
        if name.endswith("layer_norm.weight"):
            assert bool((after[name] == 1).all())
        elif name.endswith("bias"):
            assert bool((after[name] == 0).all())
        else:
            assert float(after[name].abs().max()) <= 2 * bert.config.initializer_range
    torch.manual_seed(7)
    set_up(bert, reinit_layers=2)
    assert all(torch.equal(p, after[name]) for name, p in bert.named_parameters())


def test_the_report_says_what_is_frozen(bert: Bert) -> None:
    lines = set_up(bert, freeze_layers=1, reinit_layers=1).lines()
    assert lines[1:] == [
        "new, to be trained: bert.encoder (12), bert.pooler (2), heads.sequence_classification (1)",
        "left over: nothing",
        "frozen: bert.embeddings (5), bert.encoder (12)",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze_layers": 4}, r"model.freeze_layers \(4\) must be at most 3, the layers of model"),
        ({"reinit_layers": 9}, r"model.reinit_layers \(9\) must be at most 3, the layers of model"),
        (
            {"freeze_layers": 2, "reinit_layers": 2},
            r"freeze_layers \(2\) and model.reinit_layers \(2\) must not be more than 3 together",
        ),
    ],
)
def test_there_must_be_as_many_layers(bert: Bert, settings: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        set_up(bert, **settings)

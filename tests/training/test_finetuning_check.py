"""Everything is looked at before a run, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith.config import BertConfig
from bertsmith.errors import BertsmithError, ConfigError, DataError
from bertsmith.export.model_folder import save_model
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import Preparation, finetune
from bertsmith.training.finetuning_check import check_finetuning

WORDS = ["good", "bad", "fine", "poor", "film", "a"]
ROWS = [f"a {word} film {'a ' * i}\t{word in ('good', 'fine')}" for i, word in enumerate(WORDS[:4])]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check") / "model"
    torch.manual_seed(0)
    tokenizer = Tokenizer.from_vocabulary(Vocabulary([*SPECIAL_TOKENS, *WORDS]), lowercase=True)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    save_model(folder, BertForTasks(config, [MaskedLM()]), tokenizer)
    return folder


def recipe(model: Path, folder: Path, rows: list[str] = ROWS, **train: Any) -> FinetuneRecipe:
    (folder / "train.tsv").write_text("\n".join(["text\tlabel", *rows]))
    train = {"batch_size": 2, "num_threads": 1, "precision": "fp32"} | train
    return FinetuneRecipe.from_dict(
        {
            "task": {"name": "sequence_classification"},
            "model": {"init": str(model)},
            "data": {"train": str(folder / "train.tsv"), "eval": str(folder / "train.tsv")},
            "train": {"output": str(folder / "run")} | train,
        }
    )


def everything_in(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_the_plan_is_what_the_run_does(model: Path, tmp_path: Path) -> None:
    settings = recipe(model, tmp_path, epochs=5)
    before = everything_in(tmp_path)
    found = check_finetuning(settings)
    assert everything_in(tmp_path) == before
    plan, check = found.plan, found.preparation.check
    assert (plan.num_batches, plan.steps, plan.warmup_steps) == (2, 10, 1)
    assert plan.epoch_tokens == sum(5 + i for i in range(4))
    assert (plan.learning_rate, plan.precision, plan.device) == (5e-5, "fp32", "cpu")
    assert plan.state_bytes == 16 * plan.num_parameters
    assert check.eval is not None
    assert (check.train.num_records, check.shared.count) == (4, 4)
    assert (found.num_bad, found.bad_records) == (0, ())
    prepared: list[Preparation] = []
    outcome = finetune(settings, on_prepared=prepared.append).outcome
    assert outcome.state.step == plan.steps
    assert outcome.state.tokens == 5 * plan.epoch_tokens
    # A run says the same before it begins.
    assert prepared[0].check == check
    assert prepared[0].warnings == found.preparation.warnings != ()


def test_what_is_not_trained_has_no_gradients(model: Path, tmp_path: Path) -> None:
    values = recipe(model, tmp_path).to_dict() | {"mode": "features", "features": {"layers": [-1]}}
    plan = check_finetuning(FinetuneRecipe.from_dict(values)).plan
    assert 4 * plan.num_parameters < plan.state_bytes < 16 * plan.num_parameters


def test_a_run_by_the_clock_has_no_steps(model: Path, tmp_path: Path) -> None:
    plan = check_finetuning(recipe(model, tmp_path, budget_minutes=1)).plan
    assert (plan.steps, plan.budget_minutes, plan.warmup_steps) == (None, 1, None)


def test_all_bad_records_are_named_where_a_run_names_the_first(model: Path, tmp_path: Path) -> None:
    settings = recipe(model, tmp_path, [*ROWS, "a film", "a film\t", "a\tTrue"])
    found = check_finetuning(settings)
    assert found.num_bad == 2
    assert [f"{place}:{n}" for place in [tmp_path / "train.tsv"] for n in (6, 7)] == [
        line.partition(": ")[0] for line in found.bad_records
    ]
    assert found.preparation.num_train == 5
    with pytest.raises(DataError) as error:
        finetune(settings)
    assert str(error.value) == found.bad_records[0]


def test_where_too_little_is_left_the_bad_records_say_why(model: Path, tmp_path: Path) -> None:
    settings = recipe(model, tmp_path, [ROWS[0], "a film", "bad film\t"])
    with pytest.raises(DataError) as error:
        check_finetuning(settings)
    first, second, third = str(error.value).splitlines()
    assert ":3: the row has 1 column" in first
    assert ":4: label is empty" in second
    assert third.startswith("every record has the label 'True'")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"device": "quantum"}, ConfigError, "'quantum'"),
        ({"num_threads": 100_000}, ConfigError, "num_threads"),
    ],
)
def test_what_a_run_refuses_is_refused(
    model: Path, tmp_path: Path, changes: Any, error: type[BertsmithError], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_finetuning(recipe(model, tmp_path, **changes))
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_refused_unless_it_goes_on(
    model: Path, tmp_path: Path
) -> None:
    settings = recipe(model, tmp_path, steps=1)
    finetune(settings)
    before = everything_in(tmp_path)
    with pytest.raises(ConfigError, match="holds a run that is over after 1 steps"):
        check_finetuning(settings)
    assert check_finetuning(settings, resume=True).plan.steps == 1
    assert everything_in(tmp_path) == before

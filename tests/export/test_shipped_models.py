"""Models that come with the package are opened by name, everywhere a model is."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers

from bertsmith import Embedder, load_model
from bertsmith.cli.main import main
from bertsmith.config import BertConfig
from bertsmith.errors import CheckpointError
from bertsmith.export import shipped_models
from bertsmith.export.hub import is_hub_name
from bertsmith.export.model_fingerprint import model_fingerprint
from bertsmith.export.model_folder import load_pretrained, save_model
from bertsmith.export.shipped_models import is_shipped_name, shipped_folder, shipped_names
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

Capture = pytest.CaptureFixture[str]
NAME = "bertsmith-minute"
WORDS = [*SPECIAL_TOKENS, "a", "good", "bad", "film", "."]
CONFIG = BertConfig(
    vocab_size=len(WORDS),
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=16,
    initializer_range=0.3,
)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that ships one model, in bfloat16; the working folder is elsewhere."""
    folder = tmp_path / "shipped_models"
    torch.manual_seed(0)
    model = BertForTasks(CONFIG, [build_task("masked_lm"), build_task("next_sentence")])
    tokenizer = Tokenizer.from_vocabulary(Vocabulary(WORDS), lowercase=True)
    save_model(folder / NAME, model, tokenizer, dtype=torch.bfloat16)
    (folder / "README.md").write_text("of all of them")
    (folder / NAME / "README.md").write_text("its card")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(shipped_models, "FOLDER", folder)
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


def test_the_package_has_a_place_for_its_models() -> None:
    assert (shipped_models.FOLDER / "README.md").is_file()
    for name in shipped_names():
        folder = shipped_folder(name)
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 25_000_000
        assert (folder / "README.md").is_file()
        load_model(name)


def test_a_name_opens_the_model(registry: Path) -> None:
    assert shipped_names() == [NAME]
    loaded = load_model(NAME)
    assert [task.name for task in loaded.model.tasks] == ["masked_lm", "next_sentence"]
    # Arithmetic is float32's, on numbers that bfloat16 has.
    for parameter in loaded.model.parameters():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, parameter.bfloat16().float())
    under = load_pretrained(Path(NAME), [build_task("sequence_classification", labels=["0", "1"])])
    assert under.report.new == [
        "heads.sequence_classification.classifier.weight",
        "heads.sequence_classification.classifier.bias",
    ]
    assert Embedder.load(NAME).tokenizer.vocab_size == len(WORDS)
    assert model_fingerprint(NAME) == model_fingerprint(registry / NAME)
    assert not is_hub_name(NAME)


def test_transformers_opens_the_folder_and_gives_the_same_numbers(registry: Path) -> None:
    theirs = transformers.BertForPreTraining.from_pretrained(registry / NAME).eval()
    assert theirs.dtype == torch.float32
    ours = load_model(NAME)
    text = "a good film ."
    asked = transformers.AutoTokenizer.from_pretrained(registry / NAME)(text, return_tensors="pt")
    with torch.no_grad():
        expected = theirs.bert(**asked).last_hidden_state[0]
    vectors = Embedder(ours, pooling="cls").embed([text])
    assert torch.allclose(torch.from_numpy(vectors)[0], expected[0], atol=1e-5)


def test_its_vocabulary_is_had_by_its_name(
    registry: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_text("a good film .\na bad film .\n")
    prepare = ["prepare", str(tmp_path / "text.txt"), "--output", str(tmp_path / "shards")]
    assert main([*prepare, "--vocab", NAME]) == 0
    assert Tokenizer.load(tmp_path / "shards").vocab_size == len(WORDS)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a good film\n")))
    capsys.readouterr()
    assert main(["tokenize", "--vocab", NAME]) == 0
    assert '"good", "film"' in capsys.readouterr().out
    assert main(["tokenize", "--vocab", "bertsmith-huge"]) == 2


def test_its_card_goes_with_it(registry: Path, tmp_path: Path) -> None:
    assert main(["convert", NAME, str(tmp_path / "converted")]) == 0
    assert (tmp_path / "converted" / "README.md").read_text() == "its card"
    assert load_model(tmp_path / "converted").model.config == CONFIG


def test_a_folder_that_hides_it_is_named(registry: Path) -> None:
    Path(NAME).mkdir()
    with pytest.raises(CheckpointError, match=r"holds no config.json; .*; it hides the model of"):
        load_model(NAME)
    with pytest.raises(CheckpointError, match=r"holds no config.json; it is not a model folder$"):
        load_model(registry.parent)


def test_a_folder_here_counts_before_a_name(registry: Path) -> None:
    shutil.copytree(registry / NAME, "bertsmith-mine")
    assert not is_shipped_name("bertsmith-mine")
    assert load_model("bertsmith-mine").model.config == CONFIG
    assert not is_shipped_name("runs/bertsmith-minute")
    assert not is_shipped_name("./bertsmith-minute")


def test_what_does_not_come_along_is_one_sentence(registry: Path) -> None:
    with pytest.raises(
        CheckpointError,
        match=rf"bertsmith-huge is not a folder here, .* \({NAME}\); give the path",
    ):
        load_model("bertsmith-huge")
    for name in ("bertsmith-minut", "Bertsmith_Minute"):
        with pytest.raises(CheckpointError, match=f"did you mean {NAME}\\?"):
            model_fingerprint(name)
    shutil.rmtree(registry / NAME)
    with pytest.raises(CheckpointError, match=r"\(none does in this version\); give the path"):
        load_model(NAME)


def test_the_verbs_take_a_name(registry: Path, capsys: Capture) -> None:
    assert main(["fill-mask", "--model", NAME, "a [MASK] film ."]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert main(["info", NAME]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(registry / NAME)
    rows = "text\tlabel\n" + "a good film .\tyes\na bad film .\tno\n" * 4
    Path("train.tsv").write_text(rows)
    command = ["finetune", "sequence_classification", "--model", NAME, "--train", "train.tsv"]
    command += ["--eval", "train.tsv", "--output", "out", "train.steps=1", "train.report=true"]
    assert main(command) == 0
    card = Path("out/README.md").read_text()
    assert f"fine-tuned from {NAME}" in card
    assert "base_model" not in card  # which would be a name of the hub
    assert main(["predict", "--model", NAME, "--input", "train.tsv"]) == 2
    assert main(["fill-mask", "--model", "bertsmith-maxi", "a [MASK] film ."]) == 2
    assert capsys.readouterr().err.endswith("give the path of a model folder\n")

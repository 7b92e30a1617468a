"""Exports of every head against the model, what is refused, and how folders are opened."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from tests.fresh_process import run_fresh
from tests.inference.conftest import save
from tests.serving.conftest import running

from bertsmith.cli.main import main
from bertsmith.data.record_source import RecordSource
from bertsmith.errors import CheckpointError, ConfigError, DataError
from bertsmith.export.exported_folder import read_facts
from bertsmith.export.model_folder import load_model, load_pretrained, save_model
from bertsmith.export.sentence_transformers import Pooling
from bertsmith.inference.checked_export import Check, Tolerance, export_model
from bertsmith.inference.embedder import Embedder
from bertsmith.inference.explain import explain
from bertsmith.inference.fill_mask import fill_mask
from bertsmith.inference.next_sentence import NextSentenceScorer
from bertsmith.inference.predictor import Predictor
from bertsmith.model.feature_encoder import FeaturesConfig
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_sentence import NextSentence
from bertsmith.tasks.registry import build_task

WORDS = ["paris", "is", "the", "capital", "of", "france", "a", "good", "bad", "film", "."]
DRAW = random.Random(0)


def text(most: int, least: int = 0) -> str:
    return " ".join(DRAW.choices(WORDS, k=DRAW.randint(least, most)))


TEXTS = [text(40) for _ in range(30)]
# What each kind of model is asked; texts are longer and shorter than the 24 positions.
RECORDS: dict[str, list[Any]] = {
    "sequence_classification": [*TEXTS, [text(9), text(9)]],
    "sequence_regression": TEXTS,
    "token_classification": [text(40, 1).split() for _ in range(30)],
    "question_answering": [[text(5, 1), text(60, 1)] for _ in range(10)],
    "multiple_choice": [[text(9, 1), [text(9, 1) for _ in range(3)]] for _ in range(10)],
}
SETTINGS: dict[str, dict[str, Any]] = {
    "sequence_classification": {"labels": ["neg", "pos"]},
    "token_classification": {"labels": ["O", "B-X", "I-X"]},
    "question_answering": {"has_unanswerable": True, "no_answer_threshold": 0.0},
}
MASKED = ["the [MASK] of france", "[MASK] is a [MASK] film . " * 2]
PAIRS = [[text(9, 1), text(9, 1)] for _ in range(10)]

# Exports each model by the command line and says what the folders answer.
EXPORT_ALL = """
from bertsmith.cli.main import main
from bertsmith.inference.embedder import Embedder
from bertsmith.inference.fill_mask import fill_mask
from bertsmith.inference.next_sentence import NextSentenceScorer
from bertsmith.inference.opened_model import open_model
from bertsmith.inference.predictor import Predictor

folder, jobs, records, texts, masked, pairs = arguments
answer = {}
for source, graph_format in jobs:
    output = f"{folder}/{source}-{graph_format}"
    assert main(["export", graph_format, "--model", f"{folder}/{source}", "--output", output]) == 0
    said = {"vectors": Embedder.load(output, device="cpu").embed(texts).tolist()}
    if source in records:
        said["answers"] = list(Predictor.load(output, device="cpu").predict(records[source]))
    if source == "pretrained":
        opened = open_model(output)
        filled = [fill_mask(opened.model, opened.tokenizer, text) for text in masked]
        said["words"] = [[[vars(c) for c in mask] for mask in each] for each in filled]
        said["follows"] = list(NextSentenceScorer.load(output, device="cpu").score(pairs))
    answer[f"{source}-{graph_format}"] = said
"""
FORMATS = ["onnx", "openvino"]
# Tracing one takes seconds: a head on sequences, one on tokens, the encoder alone, and OpenVINO.
FEW = [("sequence_classification", "onnx"), ("token_classification", "onnx")]
FEW += [("encoder", "onnx"), ("sequence_classification", "openvino")]
KINDS = [*RECORDS, "pretrained", "encoder"]
OTHERS = [(kind, name) for kind in KINDS for name in FORMATS if (kind, name) not in FEW]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model of each kind, by the name of its task."""
    folder = tmp_path_factory.mktemp("models")
    for name in RECORDS:
        save(folder / name, [build_task(name, **SETTINGS.get(name, {}))], positions=24)
    save(folder / "pretrained", [MaskedLM(), NextSentence()], positions=24)
    save(folder / "encoder", [], positions=24)
    loaded = load_model(folder / "encoder")
    pooling = Pooling("mean", normalize=True)
    save_model(folder / "encoder", loaded.model, loaded.tokenizer, pooling=pooling)
    return folder


@pytest.fixture(scope="module")
def exported(models: Path) -> dict[str, dict[str, Any]]:
    """What the exports of all of them answer, computed in another process."""
    return export_all(models, FEW)


@pytest.fixture(scope="module")
def others_exported(models: Path) -> dict[str, dict[str, Any]]:
    """What the exports of the other models answer."""
    return export_all(models, OTHERS)


def export_all(models: Path, jobs: list[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = run_fresh(
        EXPORT_ALL, models, jobs, RECORDS, TEXTS, MASKED, PAIRS
    )
    return found


def assert_alike(found: Any, expected: Any) -> None:
    """The same but for the last digits of numbers."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_alike(found[key], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for each, value in zip(found, expected, strict=True):
            assert_alike(each, value)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-4, rel=1e-4)
    else:
        assert found == expected


@pytest.mark.parametrize(("model", "graph_format"), FEW)
def test_an_export_answers_as_its_model(
    models: Path, exported: dict[str, dict[str, Any]], model: str, graph_format: str
) -> None:
    assert_answers_as(models, model, exported[f"{model}-{graph_format}"])


@pytest.mark.slow
@pytest.mark.parametrize(("model", "graph_format"), OTHERS)
def test_every_export_answers_as_its_model(
    models: Path, others_exported: dict[str, dict[str, Any]], model: str, graph_format: str
) -> None:
    assert_answers_as(models, model, others_exported[f"{model}-{graph_format}"])


def assert_answers_as(models: Path, model: str, said: dict[str, Any]) -> None:
    vectors = Embedder.load(models / model, device="cpu").embed(TEXTS)
    np.testing.assert_allclose(np.array(said["vectors"]), vectors, atol=1e-4)
    if model in RECORDS:
        predictor = Predictor.load(models / model, device="cpu")
        assert_alike(said["answers"], list(predictor.predict(RECORDS[model])))
    if model == "pretrained":
        loaded = load_model(models / model)
        filled = [fill_mask(loaded.model, loaded.tokenizer, text) for text in MASKED]
        assert_alike(said["words"], [[[vars(c) for c in mask] for mask in each] for each in filled])
        scorer = NextSentenceScorer.load(models / model, device="cpu")
        assert_alike(said["follows"], list(scorer.score(PAIRS)))


def test_the_folder_says_what_it_is(models: Path, exported: dict[str, dict[str, Any]]) -> None:
    facts = explain(models / "encoder-onnx")
    assert (facts["kind"], facts["format"], facts["precision"]) == (
        "exported model",
        "onnx",
        "fp32",
    )
    assert facts["made_from"] == str(models / "encoder")
    assert facts["check"]["largest_difference"] < 1e-3
    assert (facts["check"]["shortest"], facts["check"]["longest"]) == (2, 24)


def test_the_graph_gives_logits_to_other_programs(
    models: Path, exported: dict[str, dict[str, Any]]
) -> None:
    predictor = Predictor.load(models / "sequence_classification", device="cpu")
    encodings = predictor.tokenizer.encode_batch(TEXTS[:8], max_length=24)
    longest = max(map(len, encodings))
    ids = [[*each.ids, *[0] * (longest - len(each))] for each in encodings]
    mask = [[1] * len(each) + [0] * (longest - len(each)) for each in encodings]
    code = """
import numpy, onnxruntime
session = onnxruntime.InferenceSession(arguments[0])
ids, mask = numpy.array(arguments[1]), numpy.array(arguments[2])
inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": 0 * ids}
answer = session.run(["logits"], inputs)[0].tolist()
"""
    graph = models / "sequence_classification-onnx" / "model.onnx"
    logits = torch.tensor(run_fresh(code, graph, ids, mask))
    expected = [each.scores for each in predictor.scores(TEXTS[:8])]
    torch.testing.assert_close(logits, torch.stack(expected), atol=1e-4, rtol=1e-4)


# The verbs that open a model's folder, on one that was exported.
VERBS = """
import contextlib, io
from bertsmith.cli.main import main

answer = []
for command in arguments:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = main(command)
    answer.append([status, said.getvalue()])
"""


def test_the_verbs_open_the_folder(
    models: Path,
    exported: dict[str, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a good film", "label": "pos"}\n')
    data, model = str(tmp_path / "a.jsonl"), models / "sequence_classification"
    graph = f"{model}-onnx"
    commands = [
        ["predict", "--model", graph, "--input", data],
        ["evaluate", "--model", graph, "--data", data],
        ["embed", "--model", graph, "--input", data, "--output", str(tmp_path / "graph.npy")],
        ["embed", "--model", graph, "--input", data, "--output", "x.npy", "--layer", "0"],
        ["info", graph],
        ["features", "--model", graph, "--input", data],
    ]
    answers = run_fresh(VERBS, *commands)
    assert [status for status, _ in answers] == [0, 0, 0, 2, 0, 2]
    for command, (_, said) in zip(commands[:2], answers, strict=False):
        # In the graph's precision, whatever is fastest on this processor.
        exactly = ["--precision", "fp32"] if command[0] == "predict" else []
        assert main([part if part != graph else str(model) for part in command] + exactly) == 0
        assert_alike(json.loads(said), json.loads(capsys.readouterr().out))
    expected = Embedder.load(model, device="cpu").embed(["a good film"])
    np.testing.assert_allclose(np.load(tmp_path / "graph.npy"), expected, atol=1e-4)
    assert json.loads(answers[4][1])["format"] == "onnx"


def test_a_server_answers_with_a_graph(models: Path, exported: dict[str, dict[str, Any]]) -> None:
    model = models / "sequence_classification"
    with running("--model", f"films={model}-openvino") as server:
        answer = httpx2.post(f"{server.url}/v1/predict", json={"records": TEXTS}, timeout=60).json()
        (card,) = httpx2.get(f"{server.url}/v1/models").json()["data"]
        assert card["endpoints"] == ["/v1/embeddings", "/v1/predict", "/v1/tokenize"]
        for address, body in (
            ("attention", {"text": "a good film", "layer": 0, "head": 0}),
            ("word-in-context", {"word": "good", "sentences": ["a good film", "good"], "layer": 0}),
        ):
            refused = httpx2.post(f"{server.url}/v1/{address}", json=body)
            assert refused.status_code == 422
            assert "films: an exported model has the vectors of its last" in refused.text
    assert_alike(answer["answers"], list(Predictor.load(model, device="cpu").predict(TEXTS)))


REFUSALS = """
import contextlib, io, os, shutil, sys, tempfile
from pathlib import Path
home = os.environ["HOME"] = tempfile.mkdtemp()
import torch
from bertsmith.cli.main import main
from bertsmith.data.record_source import RecordSource
from bertsmith.errors import BertsmithError
from bertsmith.export.model_folder import load_model
from bertsmith.export.onnx_graph import OnnxGraph
from bertsmith.export.openvino_graph import OpenvinoGraph
from bertsmith.inference import checked_export
from bertsmith.inference.checked_export import export_model
from bertsmith.inference.opened_model import open_model

models, folder, sample = map(Path, arguments)
answer = {}

@contextlib.contextmanager
def sentence_of(what):
    try:
        yield
        answer[what] = None
    except BertsmithError as error:
        answer[what] = str(error)

def graph_of_another(folder, loaded, **settings):
    # As a fault of an exporter would have it: the graph has one weight that the model has not.
    weight = loaded.model.bert.encoder.layers[1].feed_forward.output.weight
    with torch.no_grad():
        weight[3] += CHANGE
    written(folder, loaded, **settings)
    with torch.no_grad():
        weight[3] -= CHANGE

model = models / "sequence_classification"
written = checked_export.write_exported
checked_export.write_exported = graph_of_another
for CHANGE, graph_format in ((0.05, "onnx"), (float("nan"), "openvino")):
    with sentence_of(f"changed by {CHANGE}"):
        export_model(model, folder / "broken", graph_format=graph_format)
CHANGE = 3.0
with sentence_of("changed in 8 bits"):
    settings = {"int8": True, "calibration": RecordSource(sample)}
    export_model(model, folder / "broken", graph_format="onnx", **settings)
checked_export.write_exported = written
answer["left"] = sorted(path.name for path in folder.iterdir())

for graph_format in ("onnx", "openvino"):
    output = folder / f"{graph_format}-int8"
    check = export_model(
        model, output, graph_format=graph_format, int8=True, calibration=RecordSource(sample)
    )
    answer[f"{graph_format} int8 check"] = vars(check)

for name in ("model.onnx", "openvino_model.xml", "openvino_model.bin", "heads.safetensors"):
    output = folder / ("onnx-int8" if name == "model.onnx" else "openvino-int8")
    damaged = output / name
    before = damaged.read_bytes()
    damaged.write_bytes(before[:-9] + b"x" + before[-8:])
    with sentence_of(f"damaged {name}"):
        open_model(output)
    damaged.write_bytes(before)
# Whole, but of another version of the program, say.
for name, graph in (("model.onnx", OnnxGraph), ("openvino_model.xml", OpenvinoGraph)):
    strange = folder.parent / name
    strange.write_bytes(b"x" * 1000)
    with sentence_of(f"strange {name}"):
        graph(strange)
# Nothing of the export before is left for other programs to take.
export_model(model, folder / "openvino-int8", graph_format="onnx")
answer["replaced"] = sorted(path.name for path in (folder / "openvino-int8").iterdir())
answer["home"] = sorted(str(path) for path in Path(home).rglob("*"))
with sentence_of("bf16"):
    open_model(models / "sequence_classification-onnx", precision="bf16")
bf16 = open_model(models / "sequence_classification-openvino", precision="bf16")
answer["telemetry"] = sys.modules["openvino_telemetry"]

for missing in ("onnxscript", "onnxruntime", "openvino", "nncf"):
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name == missing}
    sys.modules[missing] = None
    with sentence_of(f"without {missing}"):
        graph_format = "onnx" if missing.startswith("onnx") else "openvino"
        if missing == "nncf":
            source = RecordSource(sample)
            settings = {"int8": True, "calibration": source}
            export_model(model, folder / "x", graph_format=graph_format, **settings)
        else:
            export_model(model, folder / "x", graph_format=graph_format)
    del sys.modules[missing]
    sys.modules.update(kept)
answer["at last"] = sorted(path.name for path in folder.iterdir())
"""


@pytest.fixture(scope="module")
def refused(
    models: Path, exported: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Sentences and figures of exports that fail, of 8-bit ones, and of damaged folders."""
    folder = tmp_path_factory.mktemp("refused") / "outputs"
    folder.mkdir()
    sample = folder.parent / "sample.jsonl"
    predictor = Predictor.load(models / "sequence_classification", device="cpu")
    # Labels that the model is right about nine times in ten.
    answers = [each["label"] for each in predictor.predict(TEXTS)]
    with sample.open("w") as file:
        for number, (each, label) in enumerate(zip(TEXTS, answers, strict=True)):
            other = "neg" if label == "pos" else "pos"
            record = {"text": each, "label": label if number % 10 else other}
            file.write(json.dumps(record) + "\n")
    found: dict[str, Any] = run_fresh(REFUSALS, models, folder, sample)
    return found


def test_an_export_that_differs_is_not_written(refused: dict[str, Any]) -> None:
    for change in ("0.05", "nan"):
        sentence = refused[f"changed by {change}"]
        assert sentence.startswith("the export was not written, since its largest difference")
        assert "at most 0.001 is let through" in sentence
    assert "mean cosine of its vectors with the model's is" in refused["changed in 8 bits"]
    assert refused["left"] == []


@pytest.mark.parametrize("graph_format", FORMATS)
def test_8_bits_stay_near_the_model(refused: dict[str, Any], graph_format: str) -> None:
    check = refused[f"{graph_format} int8 check"]
    assert 0.99 < check["mean_cosine"] < 1
    assert check["texts"] == 6  # a fifth, kept back from the sample
    assert check["figure"] == "accuracy"
    assert abs(check["figures"]["accuracy"] - check["exported_figures"]["accuracy"]) <= 0.02


def test_damage_is_one_sentence(refused: dict[str, Any]) -> None:
    for name in ("model.onnx", "openvino_model.xml"):
        sentence = refused[f"strange {name}"]
        assert f"{name} cannot be read as a graph (" in sentence
        assert sentence.endswith("; export the model again")
        assert "\n" not in sentence
        assert ".cpp" not in sentence
    for name in ("model.onnx", "openvino_model.xml", "openvino_model.bin", "heads.safetensors"):
        end = f"{name} is not what was exported; export the model again"
        assert refused[f"damaged {name}"].endswith(end)


def test_an_export_replaces_the_one_before(refused: dict[str, Any]) -> None:
    assert "model.onnx" in refused["replaced"]
    assert not [name for name in refused["replaced"] if name.startswith("openvino")]


def test_what_is_missing_is_said(refused: dict[str, Any]) -> None:
    for name, extra in (
        ("onnxscript", "onnx"),
        ("onnxruntime", "onnx"),
        ("openvino", "openvino"),
        ("nncf", "openvino"),
    ):
        assert f"needs the package {name}, which" in refused[f"without {name}"]
        assert refused[f"without {name}"].endswith(f"pip install 'bertsmith[{extra}]'")
    assert refused["at last"] == ["onnx-int8", "openvino-int8"]


def test_nothing_is_reported_to_anyone(refused: dict[str, Any]) -> None:
    assert refused["telemetry"] is None
    # ONNX Runtime would keep what it is to report in a folder below the user's.
    assert refused["home"] == []


def test_an_onnx_graph_has_one_precision(refused: dict[str, Any]) -> None:
    assert "--precision bf16 cannot be" in refused["bf16"]


def test_an_export_only_answers(
    models: Path,
    exported: dict[str, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = models / "sequence_classification-onnx"
    with pytest.raises(CheckpointError, match="holds an exported model, which answers"):
        load_model(folder)
    with pytest.raises(CheckpointError, match="take the model that it was made from"):
        load_pretrained(folder, [])
    assert main(["convert", str(folder), str(tmp_path / "x")]) == 2
    assert "holds an exported model" in capsys.readouterr().err
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "model.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"model\.onnx is missing; export the model again"):
        read_facts(copy)
    (copy / "export.json").write_text('{"format": "other"}')
    with pytest.raises(CheckpointError, match=r"export\.json cannot be read"):
        read_facts(copy)


def test_what_cannot_be_is_refused(models: Path, tmp_path: Path) -> None:
    model = models / "encoder"
    with pytest.raises(ConfigError, match=r"format \('tf'\) must be one of onnx, openvino"):
        export_model(model, tmp_path / "x", graph_format="tf")
    with pytest.raises(ConfigError, match="int8 needs a calibration file"):
        export_model(model, tmp_path / "x", graph_format="onnx", int8=True)
    with pytest.raises(ConfigError, match="a calibration file is for int8"):
        source = RecordSource(tmp_path / "a.txt")
        export_model(model, tmp_path / "x", graph_format="onnx", calibration=source)
    with pytest.raises(ConfigError, match="is a model's folder; choose another"):
        export_model(model, models / "pretrained", graph_format="onnx")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.txt").write_text("a good film\n")
    with pytest.raises(DataError, match=r"has too few records to measure on \(1\)"):
        source = RecordSource(tmp_path / "a.txt")
        export_model(model, tmp_path / "x", graph_format="onnx", int8=True, calibration=source)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    with pytest.raises(ConfigError, match="is there and not empty; choose another folder"):
        export_model(model, tmp_path, graph_format="onnx")
    shutil.copytree(models / "sequence_classification-onnx", tmp_path / "copy")
    (tmp_path / "copy" / "export.json").unlink()
    with pytest.raises(CheckpointError, match=r"an exported model without its export\.json"):
        load_model(tmp_path / "copy")


def test_a_model_over_features_is_refused(models: Path, tmp_path: Path) -> None:
    loaded = load_model(models / "encoder")
    task = build_task("token_classification", labels=["O", "B-X"])
    model = BertForTasks(loaded.model.config, [task], features=FeaturesConfig(layers=(-1,)))
    save_model(tmp_path / "features", model, loaded.tokenizer)
    with pytest.raises(ConfigError, match=r"a model over features .* cannot be exported"):
        export_model(tmp_path / "features", tmp_path / "x", graph_format="onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_what_fails_a_check() -> None:
    good = Check(figure="f1", figures={"f1": 0.9}, exported_figures={"f1": 0.89})
    tolerance = Tolerance(difference=0.001, cosine=0.99, figure=0.02)
    assert good.failure(tolerance) is None
    for change, sentence in (
        ({"largest_difference": 0.01}, "its largest difference from the model is 0.01"),
        ({"largest_difference": float("nan")}, "its largest difference from the model is nan"),
        ({"mean_cosine": 0.98}, "the mean cosine of its vectors with the model's is 0.9800"),
        ({"mean_cosine": float("nan")}, "the mean cosine of its vectors with the model's is nan"),
        ({"exported_figures": {"f1": 0.87}}, "its f1 is 0.8700 where the model's is 0.9000"),
    ):
        failure = dataclasses.replace(good, **change).failure(tolerance)
        assert failure is not None
        assert failure.startswith(sentence)
    assert dataclasses.replace(good, exported_figures={"f1": 0.95}).failure(tolerance) is None

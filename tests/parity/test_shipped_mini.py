"""The model that comes with the package does on held-out text what its card says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

import bertsmith
from bertsmith.data.prepare import PrepareSettings, prepare
from bertsmith.export.shipped_models import shipped_folder
from bertsmith.inference.shard_evaluation import HeldOutText, evaluate_shards
from bertsmith.text.tokenizer import Tokenizer

pytestmark = pytest.mark.slow
NAME = "bertsmith-mini"
# Part of the text, so that this takes seconds; the card is of all of it.
TOKENS = 60_000


def on_the_card(figure: str) -> float:
    """Of the weights as they are shipped."""
    lines = (shipped_folder(NAME) / "README.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in lines if line.startswith(f"| {figure} |")]
    return float(row.split("|")[-2])


def test_held_out_text_gives_the_figures_of_the_card(shared_data: Path, tmp_path: Path) -> None:
    texts = sorted((shared_data / "corpus").glob("*-dev.txt.xz"))
    assert len(texts) == 2
    tokenizer = Tokenizer.load(shipped_folder(NAME))
    prepare(texts, tokenizer, tmp_path, PrepareSettings())
    text = HeldOutText(max_seqlen=128, eval_tokens=TOKENS)
    figures = evaluate_shards(NAME, tmp_path, text, device="cpu")
    assert figures["masked_lm_loss"] == pytest.approx(on_the_card("masked lm loss"), abs=0.04)
    assert figures["next_sentence_accuracy"] == pytest.approx(
        on_the_card("next sentence accuracy"), abs=0.01
    )


def test_transformers_fills_its_masks_as_we_do() -> None:
    folder = shipped_folder(NAME)
    theirs = transformers.BertForPreTraining.from_pretrained(folder).eval()
    text = "The president of the United [MASK] said that he would sign the agreement."
    inputs = transformers.AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    place = inputs.input_ids[0].tolist().index(4)
    with torch.no_grad():
        probs = theirs(**inputs).prediction_logits[0, place].softmax(-1)
    loaded = bertsmith.load_model(NAME)
    assert loaded.tokenizer.mask_id == 4
    (candidates,) = bertsmith.fill_mask(loaded.model, loaded.tokenizer, text)
    assert candidates[0].word == "states"
    for candidate in candidates:
        ours = loaded.tokenizer.encode(candidate.word).ids[1]
        assert candidate.probability == pytest.approx(float(probs[ours]), abs=1e-4)

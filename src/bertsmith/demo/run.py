"""The demo: vocabulary, corpus, pre-training, fine-tuning and predictions, one after the other.

Where the package ships a model, the same is asked of that one in a second part.

Its settings are what does most in four minutes of two laptop cores: the smallest published size,
short sequences, Muon, and no dropout, since no text is seen often enough to be learned by heart.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertsmith.data.prepare import prepare
from bertsmith.demo.text import DemoText, find_test_data, write_demo_text
from bertsmith.errors import ConfigError
from bertsmith.export.model_folder import LoadedModel, load_model
from bertsmith.export.shipped_models import shipped_names
from bertsmith.inference.fill_mask import Candidate, fill_mask
from bertsmith.inference.predictor import Predictor
from bertsmith.text.notation import in_gnmt_notation
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.trainer import train_vocabulary
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import Finetuned, finetune
from bertsmith.training.outcome import Outcome
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.pretraining import Pretrained, pretrain

VOCAB_SIZE = 4000
MASKED_TEXTS = (
    "The president of the United [MASK] said that he would sign the agreement.",
    "He was born in [MASK] and studied at the university.",
    "The film won the Academy [MASK] for best picture.",
    "The war between the two countries ended in [MASK] .",
    "It is one of the most important cities in the [MASK] .",
)
ASKED_TEXTS = (
    "The species is native to the forests of Central Africa.",
    "Police say a man has been charged over the attack in Sydney last night.",
    "I don't think your argument makes any sense, but thanks for posting it.",
)
STAGES = ("text", "vocab", "train-shards", "held-out-shards", "pretrained", "classifier", "shipped")
SHIPPED = "bertsmith-mini"
MARKER = "demo.json"


@dataclass(frozen=True)
class ShippedPart:
    """The same of a model that comes with the package."""

    filled: dict[str, list[Candidate]]
    finetuned: Finetuned
    seconds: float


@dataclass(frozen=True)
class DemoResult:
    """Everything that the closing table shows."""

    text: DemoText
    pretrained: Pretrained
    finetuned: Finetuned
    filled: dict[str, list[Candidate]]
    answers: dict[str, dict[str, Any]]
    seconds: float
    """Of all but the second part."""
    shipped: ShippedPart | None
    """None where the package ships no such model."""

    def figures(self) -> dict[str, float]:
        """The numbers, JSON-ready."""
        held_out, classified = self.pretrained.outcome.figures, self.finetuned.outcome.figures
        shipped = {}
        if self.shipped is not None:
            accuracy = self.shipped.finetuned.outcome.figures["accuracy"]
            shipped = {
                "shipped_classification_accuracy": accuracy,
                "shipped_seconds": self.shipped.seconds,
            }
        return {
            "masked_lm_loss": held_out["masked_lm_loss"],
            "masked_lm_accuracy": held_out["masked_lm_accuracy"],
            "unigram_entropy": self.pretrained.unigram_entropy,
            "vocab_size": self.pretrained.vocab_size,
            "next_sentence_accuracy": held_out["next_sentence_accuracy"],
            "classification_accuracy": classified["accuracy"],
            "majority_accuracy": classified["majority_accuracy"],
            "seconds": self.seconds,
        } | shipped


def run_demo(output: Path, *, minutes: float, seed: int, say: Callable[[str], None]) -> DemoResult:
    """Run everything and leave the files of every stage in a folder.

    Args:
        output: the folder; what an earlier demo has left there is removed, and nothing else.
        minutes: how long to pre-train.
        seed: decides held-out documents, weights and order.
        say: is told what happens.

    Raises:
        ConfigError: the folder holds something else, or the demo's text is not installed.
        KeyboardInterrupt: the user has had enough.
    """
    started = time.monotonic()
    find_test_data()
    _clear(output)
    say("1/5 text: what the package gensim brings along")
    text = write_demo_text(output / "text", seed=seed)
    counts = ", ".join(f"{count} {kind}" for kind, count in text.num_documents.items())
    say(f"    {text.num_characters / 1e6:.1f} million characters in {counts} documents")

    say(f"2/5 vocabulary: {VOCAB_SIZE:,} wordpieces")
    tokenizer = _learn_vocabulary(text, output / "vocab", say)

    say("3/5 corpus: sentences as wordpieces, in shards")
    for name, file in (("train-shards", text.train), ("held-out-shards", text.held_out)):
        report = prepare([file], tokenizer, output / name)
        say(f"    {name}: {report.counts.sentences:,} sentences, "
            f"{report.counts.wordpieces:,} wordpieces")  # fmt: skip

    say(f"4/5 pre-training for {minutes:g} minutes: masked LM + next sentence")
    recipe = pretraining_recipe(output, minutes=minutes, seed=seed)
    pretrained = pretrain(recipe)
    _end_if_stopped(pretrained.outcome)
    loaded = load_model(recipe.train.output)
    filled = _filled(loaded)

    say("5/5 fine-tuning: which kind of source is a sentence from?")
    finetuned = finetune(finetuning_recipe(output, text, seed=seed))
    _end_if_stopped(finetuned.outcome)
    predictor = Predictor.load(output / "classifier")
    answers = dict(zip(ASKED_TEXTS, predictor.predict(list(ASKED_TEXTS)), strict=True))
    seconds = time.monotonic() - started
    shipped = _shipped_part(output, text, seed=seed, say=say)
    result = DemoResult(text, pretrained, finetuned, filled, answers, seconds, shipped)
    (output / MARKER).write_text(json.dumps(result.figures()) + "\n", encoding="utf-8")
    return result


def pretraining_recipe(output: Path, *, minutes: float, seed: int) -> PretrainRecipe:
    """The recipe of the demo's pre-training."""
    return PretrainRecipe.from_dict(
        {
            "tasks": ["masked_lm", "next_sentence"],
            "model": {
                "preset": "tiny",
                "max_position_embeddings": 64,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
            },
            "data": {
                "train": str(output / "train-shards"),
                "eval": str(output / "held-out-shards"),
                "eval_tokens": 65536,
                "max_seqlen": 64,
                "single_segment_prob": 0.15,
            },
            "optimizer": {"name": "muon", "learning_rate": 5e-3, "beta2": 0.98},
            "train": {
                "output": str(output / "pretrained"),
                "budget_minutes": minutes,
                "batch_tokens": 4096,
                "seed": seed,
            },
        }
    )


def finetuning_recipe(output: Path, text: DemoText, *, seed: int) -> FinetuneRecipe:
    """The recipe of the demo's fine-tuning."""
    return FinetuneRecipe.from_dict(
        {
            "task": {"name": "sequence_classification"},
            "model": {"init": str(output / "pretrained"), "hidden_dropout_prob": 0.1},
            "data": {
                "train": str(text.train_sentences),
                "eval": str(text.held_out_sentences),
                "max_seqlen": 64,
            },
            "optimizer": {"name": "adamw", "learning_rate": 5e-4},
            "train": {"output": str(output / "classifier"), "epochs": 3, "seed": seed},
        }
    )


def shipped_recipe(output: Path, text: DemoText, *, seed: int) -> FinetuneRecipe:
    """The same task, from the model that comes with the package.

    It knows English already, so that two passes do; three would take longer, with six times the
    weights.
    """
    recipe = finetuning_recipe(output, text, seed=seed)
    return recipe.replace(
        model=recipe.model.replace(init=Path(SHIPPED)),
        optimizer=recipe.optimizer.replace(learning_rate=1e-3),
        train=recipe.train.replace(output=output / "shipped", epochs=2.0),
    )


def _shipped_part(
    output: Path, text: DemoText, *, seed: int, say: Callable[[str], None]
) -> ShippedPart | None:
    started = time.monotonic()
    if SHIPPED not in shipped_names():
        say(f"{SHIPPED} does not come with this version, so that there is nothing to compare with")
        return None
    say(f"beside it: {SHIPPED}, which comes with bertsmith, for the same task")
    filled = _filled(load_model(SHIPPED))
    finetuned = finetune(shipped_recipe(output, text, seed=seed))
    _end_if_stopped(finetuned.outcome)
    return ShippedPart(filled, finetuned, time.monotonic() - started)


def _filled(loaded: LoadedModel) -> dict[str, list[Candidate]]:
    return {t: fill_mask(loaded.model, loaded.tokenizer, t, 3)[0] for t in MASKED_TEXTS}


def _learn_vocabulary(text: DemoText, folder: Path, say: Callable[[str], None]) -> Tokenizer:
    lines = text.train.read_text(encoding="utf-8").splitlines()
    tokenizer, report = train_vocabulary(lines, size=VOCAB_SIZE)
    tokenizer.save(folder)
    for line in report.lines():
        say(f"    {line}")
    example = "Jet makers feud over seat width with big orders at stake"
    pieces = tokenizer.wordpieces(example)
    say(f"    BERT's notation:   {' '.join(pieces)}")
    say(f"    the NMT system's:  {' '.join(in_gnmt_notation(pieces))}")
    return tokenizer


def _end_if_stopped(outcome: Outcome) -> None:
    """Training answers a signal by a checkpoint; the demo, which begins anew, by ending."""
    if outcome.stopped_by is not None:
        signal.raise_signal(outcome.stopped_by)


def _clear(output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    if not (output / MARKER).exists() and any(output.iterdir()):
        raise ConfigError(
            f"{output} holds files that are not a demo's; choose another folder with --output"
        )
    for name in STAGES:
        shutil.rmtree(output / name, ignore_errors=True)
    # From here on the folder is a demo's, wherever that ends.
    (output / MARKER).write_text("{}\n", encoding="utf-8")

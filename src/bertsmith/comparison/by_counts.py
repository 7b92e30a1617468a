"""Systems that are made of counts: GloVe's vectors, as a model folder."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from bertsmith.comparison.plan import Plan
from bertsmith.comparison.system import PretrainedModel, System
from bertsmith.data.cooccurrence import count_cooccurrences
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.export.model_folder import save_model
from bertsmith.tasks.model import BertForTasks
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.glove import fit_glove
from bertsmith.training.parallelize import choose_device

EPOCHS = 25
"""Where the budget is of tokens: half of what Pennington et al. take for vectors of fewer than 300
numbers."""
COUNTING_SHARE = 0.5
"""The most of a budget of time that counting takes."""
PAIRS_A_STEP, PAIRS_A_STEP_ON_A_GPU = 1 << 12, 1 << 17
STEPS_AN_EPOCH = 100
"""At least; the published program takes a step for each pair."""


def pretrain_by_counts(system: System, plan: Plan, folder: Path) -> PretrainedModel:
    """Count and fit, from the beginning where it was interrupted; see `Pretrain`."""
    started = time.monotonic()
    seconds = None if plan.minutes is None else 60 * plan.minutes
    device = choose_device()
    corpus = TokenizedCorpus.open(plan.train)
    tokenizer = Tokenizer.load(plan.train)

    def has_counted() -> bool:
        return seconds is not None and time.monotonic() - started > COUNTING_SHARE * seconds

    pairs = count_cooccurrences(
        corpus,
        max_wordpieces=plan.tokens,
        is_over=has_counted,
        seed=plan.seed,
        device=device,
        scratch=folder.parent,
    )
    config = plan.config(tokenizer.vocab_size)
    config = config.replace(**{"num_hidden_layers": 1} | dict(system.settings["model"]))
    most = PAIRS_A_STEP_ON_A_GPU if device.type == "cuda" else PAIRS_A_STEP
    _, fit = fit_glove(
        pairs,
        config.hidden_size,
        epochs=EPOCHS if seconds is None else None,
        seconds=None if seconds is None else seconds - (time.monotonic() - started),
        seed=plan.seed,
        device=device,
        pairs_a_step=min(most, -(-len(pairs.counts) // STEPS_AN_EPOCH)),
    )
    model = BertForTasks(config, [], is_drawn=False)
    with torch.no_grad():
        model.bert.embeddings.wordpiece.weight.copy_(fit.vectors)
    save_model(folder, model, tokenizer)
    return PretrainedModel(
        parameters=fit.vectors.numel(),
        layer_parameters=0,
        tokens=pairs.num_wordpieces,
        steps=fit.steps,
        seconds=round(time.monotonic() - started, 1),
        figures={"pairs": len(pairs.counts), "epochs": len(fit.losses), "loss": fit.losses[-1]},
    )

"""A tiny BERT that is taught a batch until it knows it."""

from __future__ import annotations

import torch

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.model.feature_encoder import FeaturesConfig
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.task import Targets, Task

CONFIG = BertConfig(
    vocab_size=20,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=16,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    initializer_range=0.2,
)


def learn(
    task: Task,
    batch: Batch,
    targets: Targets,
    steps: int = 150,
    features: FeaturesConfig | None = None,
) -> dict[str, float]:
    """The figures after so many steps, all of them on this batch; `before` is the first loss."""
    torch.manual_seed(0)
    model = BertForTasks(CONFIG, [task], features=features)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(steps):
        logits = model(batch, targets)
        loss = model.losses(logits, targets)[task.name]
        losses.append(float(loss.detach()))
        loss.backward()
        for name, parameter in model.named_parameters():
            is_frozen = features is not None and name.startswith("bert.")
            assert (parameter.grad is None) == is_frozen, name
        optimizer.step()
        optimizer.zero_grad()
    metrics = task.metrics()
    logits = model(batch, targets)[task.name].detach()
    metrics.update(task.rows(logits, targets), targets[task.target])
    return {"before": losses[0], "after": losses[-1]} | metrics.compute()

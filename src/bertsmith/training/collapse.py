"""Notice a fine-tuning run that gives one answer for everything, and will not learn another.

On small sets large models sometimes learn nothing at all, and the same run with another seed
does; the paper takes the best of several restarts (section 4.1). In such runs gradients vanish
during the first steps, and the training loss stays for good where it is for a model that does not
read its input (Mosbach et al. 2021, "On the stability of fine-tuning BERT").
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bertsmith.data.example import Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.tasks.model import BertForTasks
from bertsmith.training.held_out import Evaluated
from bertsmith.training.record_evaluation import record_task

# By half of a run the rate has been at its highest and is down to half of that: what large steps
# have not freed smaller ones will not. A failed run then costs half of one.
MIN_PROGRESS = 0.5
# Shorter runs have one answer because they are short, whatever the seed.
MIN_STEPS = 50
# Part of the constant answer's loss above which nothing has been learned: the rest is for noise,
# which among a few hundred records is some percent.
FLAT = 0.95


class CollapseWatch:
    """Looks at each evaluation of a run.

    Args:
        model: with one task that is learned from records.
        examples: those that it is trained on.
    """

    def __init__(self, model: BertForTasks, examples: Sequence[Example]) -> None:
        self.model = model
        self.examples = examples
        self._constant_loss: float | None = None

    def problem(self, evaluated: Evaluated) -> str | None:
        """Say that the run has collapsed; None when it has not, or it is too early to say."""
        is_due = evaluated.progress >= MIN_PROGRESS or evaluated.is_last
        if not is_due or evaluated.state.step < MIN_STEPS:
            return None
        has_collapsed = record_task(self.model).has_collapsed
        if not (has_collapsed(evaluated.held_out) and has_collapsed(evaluated.state.best_figures)):
            return None
        if self._constant_loss is None:
            self._constant_loss = constant_answer_loss(self.model, self.examples)
        if evaluated.training_loss < FLAT * self._constant_loss:
            return None
        return (
            "the model tells no held-out record from another, and its training loss "
            f"({evaluated.training_loss:.3f}) is not below that of one answer for everything "
            f"({self._constant_loss:.3f})"
        )

    def remark(self, evaluated: Evaluated) -> str | None:
        """Say at the end of a run that its model gives one answer, whatever the reason."""
        is_constant = record_task(self.model).has_collapsed(evaluated.state.best_figures)
        if not (evaluated.is_last and is_constant) or self.problem(evaluated) is not None:
            return None
        return (
            "the model that is kept tells no held-out record from another: it has learned nothing "
            "yet, and needs more steps or another optimizer.learning_rate"
        )


def constant_answer_loss(model: BertForTasks, examples: Sequence[Example]) -> float:
    """The loss of the best answer that does not depend on the input; that of the task itself.

    Args:
        model: with one task whose head gives a row of logits for each sequence.
        examples: with targets.
    """
    task = record_task(model)
    targets = task.collate(list(examples))
    answer = torch.zeros(_shape_of_logits(model, examples[0]), requires_grad=True)
    optimizer = torch.optim.LBFGS([answer], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = task.loss(answer.expand(len(examples), *answer.shape), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return float(closure().detach())


@torch.inference_mode()
def _shape_of_logits(model: BertForTasks, example: Example) -> torch.Size:
    """That of one sequence's row."""
    task = record_task(model)
    device = next(model.parameters()).device
    was_training = model.training
    targets = {key: value.to(device) for key, value in task.collate([example]).items()}
    logits: Tensor = model.eval()(pack_examples([example], device), targets)[task.name]
    model.train(was_training)
    return logits.shape[1:]

"""The one loop: pre-training and fine-tuning differ in what they hand to it.

A step is an optimizer step over one or more microbatches. Between two steps the loop logs,
evaluates and writes checkpoints, and a run that goes on from a checkpoint is the run that was
never interrupted, to the bit (on one device, with as many threads).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import signal
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from bertsmith.data.loader import LoadedBatch, Position
from bertsmith.errors import DataError
from bertsmith.export.model_folder import ModelContents, load_weights, take_weights
from bertsmith.tasks.model import BertForTasks
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.background import Background
from bertsmith.training.checkpoint import (
    Checkpoints,
    TrainingState,
    copied_contents,
    take_snapshot,
)
from bertsmith.training.distributed import Group
from bertsmith.training.held_out import Evaluated, HeldOut
from bertsmith.training.log import Log
from bertsmith.training.optimizer import OptimizerSettings, build_optimizers, set_learning_rates
from bertsmith.training.outcome import Outcome
from bertsmith.training.parallelize import choose_precision
from bertsmith.training.passes import StepPasses
from bertsmith.training.placement import Placement
from bertsmith.training.recipe import TrainSettings
from bertsmith.training.schedule import ScheduleSettings, learning_rate_factor, progress
from bertsmith.training.signals import StopSignals
from bertsmith.training.speed import Speed
from bertsmith.training.stages import Stage, batches_in_turn

# How often a run evaluates and writes a checkpoint where the recipe does not say, and how long it
# has to be between two checkpoints: to write one may take as long as a hundred steps.
TIMES_A_RUN = 10
SECONDS_BETWEEN_CHECKPOINTS = 60.0


class DivergedError(DataError):
    """Training has left the finite numbers."""


class Trainer:
    """Trains a model until its run is over.

    Args:
        model: on the device where it is to train.
        tokenizer: saved with every checkpoint.
        stages: what to train on, one after another.
        held_out: what to measure on, if anything.
        settings: the `[train]` section.
        steps: the run's length in steps; None when it is `settings.budget_minutes`.
        optimizer: the `[optimizer]` section.
        schedule: the `[schedule]` section.
        checkpoints: of this run; None: nothing of it is kept.
        log: of this run.
        log_every_steps: how often training figures go to it.
        recipe: everything the run was started with, JSON-ready; stored in its checkpoints.
        cuda_graphs: replay forward and backward passes as such, where the device is one for them.
        group: the processes that train the model, each with its share of every step's microbatches.
        placement: how the model lies on them; it has been placed.
    """

    def __init__(
        self,
        model: BertForTasks,
        tokenizer: Tokenizer,
        stages: Sequence[Stage],
        *,
        held_out: HeldOut | None,
        settings: TrainSettings,
        steps: int | None,
        optimizer: OptimizerSettings,
        schedule: ScheduleSettings,
        checkpoints: Checkpoints | None,
        log: Log,
        log_every_steps: int,
        recipe: dict[str, Any],
        cuda_graphs: bool = False,
        group: Group | None = None,
        placement: Placement | None = None,
    ) -> None:
        self.model = model
        self.group = group or Group()
        self.placement = placement or Placement()
        self.tokenizer = tokenizer
        self.stages = stages
        self.held_out = held_out
        self.settings = settings
        self.steps = steps
        self.schedule = schedule
        self.checkpoints = checkpoints
        self.log = log
        self.log_every_steps = log_every_steps
        self.max_grad_norm = optimizer.max_grad_norm or float("inf")
        self.learning_rate = optimizer.learning_rate
        self.optimizers = build_optimizers(model.named_parameters(), optimizer)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.precision = choose_precision(settings.precision, self.device)
        self.state = TrainingState(recipe=recipe)
        self._vary_generators()
        self._training_figures: dict[str, float] = {}
        self._rate_factor = 0.0
        self._losses_since_evaluation = torch.zeros(2, device=self.device)  # their sum, how many
        self._problem: str | None = None
        self._is_over = False
        self._best: ModelContents | None = None  # None: there is none, or on the disk
        self._saved_step: int | None = None
        self._writer = Background()
        self._started_at = time.monotonic()
        self._saved_at_seconds = 0.0
        self._speed = Speed(model)
        # Losses and gradient norms of each step: those not looked at yet, so as not to wait for a
        # GPU at each, and those found finite and not logged yet.
        self._unchecked: list[dict[str, Tensor]] = []
        self._checked: list[dict[str, Tensor]] = []
        self.passes = StepPasses(
            model,
            self.device,
            settings,
            precision=self.precision,
            cuda_graphs=cuda_graphs,
            is_sharded=not self.placement.is_whole,
        )

    def resume(self, state: TrainingState) -> None:
        """Go on from a checkpoint of this run, whose weights the model has already."""
        assert self.checkpoints is not None  # noqa: S101 - where else would the state be from
        self.checkpoints.restore(state.step, self.model, self.optimizers, self.placement)
        self.state = dataclasses.replace(state, recipe=self.state.recipe)
        self._saved_step = state.step
        self._is_over = self._has_lost_patience()
        self._vary_generators()

    def _vary_generators(self) -> None:
        """Let no two processes drop out the same numbers; the first goes on as one alone would."""
        if not self.group.is_first:
            seed = self.settings.seed + 1_000_003 * self.group.rank + 7919 * self.state.step
            torch.manual_seed(seed)

    def fit(self) -> Outcome:
        """Train to the end of the run, or until a signal asks to stop.

        When this returns or raises, nothing is being written any more.

        Raises:
            DivergedError: when the loss or its gradient is no longer a finite number.
            DataError: a checkpoint could not be written; said when the next one is due.
        """
        try:
            return self._fit()
        finally:
            self._writer.join()

    def _fit(self) -> Outcome:
        self._saved_at_seconds = self.state.elapsed_seconds
        self._speed.restart()
        self._started_at = time.monotonic() - self.state.elapsed_seconds
        position = Position(**self.state.position) if self.state.position else None
        in_turn = batches_in_turn(self.stages, position, self._progress)
        with StopSignals() as signals, contextlib.closing(in_turn) as batches:
            self.model.train()
            stopped_by: signal.Signals | None = None
            while self._progress() < 1 and not self._is_over:
                stopped_by = self.group.signal_of_any(signals.received)
                if stopped_by is not None:
                    break
                before = self._progress()
                self._step(batches)
                after = self._progress()
                is_last = after >= 1
                if self._is_due(self.settings.eval_every_steps, before, after) or is_last:
                    self._evaluate()
                if self._is_checkpoint_due(before, after):
                    self._save()
            self._save(is_over=stopped_by is None)
            self._writer.wait()
            # A process that ends early may make torchrun end the one that still writes.
            self.group.wait_for_all()
        return Outcome(
            self.state,
            self.state.best_figures,
            stopped_by,
            stopped_early=self._is_over and self._problem is None,
            problem=self._problem,
        )

    def _step(self, batches: Iterator[LoadedBatch]) -> None:
        state = self.state
        self._rate_factor = learning_rate_factor(self._progress(), state.step, self.schedule)
        set_learning_rates(self.optimizers, self._rate_factor)
        # The first step too: where the loss starts says whether the start is sound.
        step = state.step + 1
        is_logged = step in (1, self.steps) or step % self.log_every_steps == 0
        tokens = 0
        sums: dict[str, Tensor] = {}
        microbatches = self.settings.microbatches(self._progress())
        share_of_this = self.group.share_of(microbatches)
        for index in range(share_of_this):
            loaded = self._speed.next_of(batches)
            self.placement.begin_pass(self.model, is_last=index + 1 == share_of_this)
            (logits, losses), targets = self.passes(loaded, microbatches)
            tokens += loaded.batch.num_tokens * self.group.size
            for name, value in losses.items():
                share = value.detach() / microbatches
                sums[name] = sums.get(name, torch.zeros_like(share)) + share
        self.group.add_up([*self.placement.unsent_gradients(self.parameters), *sums.values()])
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        norm = self.placement.whole(norm.detach())
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=not self.passes.keep_gradients)
        self._unchecked.append(sums | {"grad_norm": norm})
        total = torch.stack(list(sums.values())).sum().float()
        self._losses_since_evaluation += torch.stack([total, torch.ones_like(total)])
        self.state = dataclasses.replace(
            state,
            step=step,
            tokens=state.tokens + tokens,
            elapsed_seconds=self.group.seconds_of_first(time.monotonic() - self._started_at),
            position=dataclasses.asdict(loaded.position),
        )
        self.log.advance(self._progress())
        if is_logged or self.device.type == "cpu":
            self._check_finite()
        if is_logged:
            self._log_training(logits, targets)

    def _progress(self) -> float:
        state, settings = self.state, self.settings
        return progress(
            state.step,
            state.elapsed_seconds,
            steps=self.steps,
            budget_minutes=settings.budget_minutes,
        )

    def _is_due(self, every_steps: int | None, before: float, after: float) -> bool:
        """Whether the step just done is one to do something after.

        Without a number of steps that is ten times over the run, which is known whatever the
        run's length is measured in.
        """
        if every_steps is not None:
            return self.state.step % every_steps == 0
        return int(TIMES_A_RUN * after) > int(TIMES_A_RUN * before)

    def _is_checkpoint_due(self, before: float, after: float) -> bool:
        every_steps = self.settings.checkpoint_every_steps
        # By the clock of the first process, so that all take part or none.
        seconds = self.state.elapsed_seconds - self._saved_at_seconds
        is_long_ago = seconds >= SECONDS_BETWEEN_CHECKPOINTS
        return self._is_due(every_steps, before, after) and (every_steps is not None or is_long_ago)

    def _check_finite(self) -> None:
        """Find the first step since the last look whose loss or gradient is no finite number."""
        recent, self._unchecked = self._unchecked, []
        first = self.state.step - len(recent) + 1
        for step, figures in enumerate(recent, first):
            bad = [name for name, value in figures.items() if not value.isfinite()]
            if bad:
                raise DivergedError(
                    f"{bad[0]} is {figures[bad[0]].item()} at step {step}, so the run is stopped; "
                    f"{self._last_good_checkpoint()}; lower optimizer.learning_rate, lengthen "
                    "the warm-up or set train.precision = 'fp32'"
                )
        self._checked += recent

    def _check_weights(self) -> None:
        """See that a step has not made a weight infinite, before it is saved as good."""
        own = [self.placement.local(parameter.detach()) for parameter in self.parameters]
        are_finite = bool(torch.stack([tensor.isfinite().all() for tensor in own]).all())
        if self.group.is_any(not are_finite):
            raise DivergedError(
                f"weights are no longer finite after step {self.state.step}, so the run is "
                f"stopped; {self._last_good_checkpoint()}; lower optimizer.learning_rate"
            )

    def _last_good_checkpoint(self) -> str:
        self._writer.join()
        # All have come to the same, and one that ends now would make torchrun end the one that
        # writes, before it has spoken.
        self.group.wait_for_all()
        steps = self.checkpoints.steps() if self.checkpoints is not None else []
        if self.checkpoints is None or not steps:
            return "no checkpoint was written before it"
        return f"the last good checkpoint is {self.checkpoints.path(steps[-1])}"

    def _log_training(self, logits: dict[str, Tensor], targets: dict[str, Tensor]) -> None:
        """Write losses averaged since the last line, and the last microbatch's accuracies."""
        names = self._checked[0].keys()
        means = {
            name: float(torch.stack([figures[name].float() for figures in self._checked]).mean())
            for name in names
        }
        norm = means.pop("grad_norm")
        figures = {"loss": sum(means.values())}
        for task in self.model.tasks:
            accumulator = task.metrics()
            accumulator.update(task.rows(logits[task.name], targets), targets[task.target])
            computed = accumulator.compute()
            computed.pop("majority_accuracy", None)  # of the data, not of the model
            figures |= {k: v for k, v in computed.items() if k.endswith("accuracy")}
            figures[f"{task.name}_loss"] = means[task.name]
        rate = self.learning_rate * self._rate_factor
        figures |= {"learning_rate": rate, "grad_norm": norm} | self._speed.figures()
        self._checked = []
        self._training_figures = figures
        self._write("train", figures)

    def _evaluate(self) -> None:
        """Measure on the held-out data, keep the best model, see whether the run is over."""
        held_out = self.held_out
        if held_out is None:
            return
        self._check_finite()
        figures = held_out.measure(self.model, self.device, self.precision)
        self.placement.end_evaluation(self.model)
        figures = self.group.figures_of_first(figures)
        self._write("eval", figures)
        state, best = self.state, self.state.best_figures
        is_better = not best or held_out.rank(figures)[0] > held_out.rank(best)[0]
        since = 0 if is_better else state.evaluations_since_best + 1
        self.state = dataclasses.replace(state, evaluations_since_best=since)
        if not best or held_out.rank(figures) > held_out.rank(best):
            self.state = dataclasses.replace(self.state, best_step=state.step, best_figures=figures)
            self._remember_model()
        self._is_over = self._has_lost_patience()
        self._look_at(held_out, figures)

    def _has_lost_patience(self) -> bool:
        patience = self.settings.early_stopping_patience
        return patience is not None and self.state.evaluations_since_best >= patience

    def _look_at(self, held_out: HeldOut, figures: dict[str, float]) -> None:
        """Let others say what they see in the figures."""
        loss, count = self._losses_since_evaluation.tolist()
        self._losses_since_evaluation.zero_()
        is_last = self._is_over or self._progress() >= 1
        evaluated = Evaluated(
            self.state, self._progress(), figures, self._training_figures, loss / count, is_last
        )
        remark = held_out.remark(evaluated)
        if remark is not None:
            self.log.say(remark)
        self._problem = held_out.problem(evaluated)
        if held_out.is_enough(evaluated) or (self._problem and held_out.stops_at_problem):
            self._is_over = True
        if self._problem is not None and (is_last or self._is_over):
            self.log.say(f"step {self.state.step:,}: {self._problem}")

    def _write(self, split: Literal["train", "eval"], figures: dict[str, float]) -> None:
        self._speed.restart()
        self.log.write(
            split,
            step=self.state.step,
            progress=self._progress(),
            tokens=self.state.tokens,
            elapsed_seconds=self.state.elapsed_seconds,
            figures=figures,
        )
        if split == "eval":
            self.log.restart(time.monotonic() - self._started_at)

    def _remember_model(self) -> None:
        """Keep a copy of the model, which is the best so far."""
        self._check_weights()
        if self.checkpoints is None or not self._takes_part_in_copies:
            return
        # A new copy each time: the one before may be on its way to the disk.
        contents = copied_contents(self.model, self.placement)
        self._best = contents if self.group.is_first else None

    @property
    def _takes_part_in_copies(self) -> bool:
        """The first process writes; of what it has not got the others have the rest."""
        return self.group.is_first or not self.placement.is_whole

    def restore_best(self) -> BertForTasks:
        """Make the model the best one; without held-out data it stays the last.

        Returns:
            In the first process, which leaves it, the whole model.
        """
        model = self.placement.whole_model(self.model)
        best_step = self.state.best_step
        if best_step in (None, self.state.step) or self.checkpoints is None:
            return model
        if not self.group.is_first:
            return model
        if self._best is not None:
            take_weights(model, self._best)
        else:
            load_weights(model, self.checkpoints.path_of_best(best_step))
        return model

    def _save(self, *, is_over: bool = False) -> None:
        """Begin to write a checkpoint; what is wrong with the one before is raised."""
        if self.state.step == 0:
            return
        self._check_finite()
        self._check_weights()
        if self.checkpoints is None or (is_over and self.settings.keep_checkpoints == 0):
            return
        if self.state.step == self._saved_step:
            return
        self._saved_step = self.state.step
        self._saved_at_seconds = self.state.elapsed_seconds
        if not self._takes_part_in_copies:
            return
        self._writer.wait()  # before the copy, so that there is one at a time
        snapshot = take_snapshot(
            self.state, self.model, self.tokenizer, self.optimizers, self._best, self.placement
        )
        if self.group.is_first:
            self._writer.start(functools.partial(self.checkpoints.save, snapshot))

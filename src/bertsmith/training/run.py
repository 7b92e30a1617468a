"""What pre-training and fine-tuning do alike: begin or go on with a run, and hand over its model.

A run's folder becomes a model folder, with metrics.jsonl, curves.png, recipe.toml and
checkpoints/ beside the model's files.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from bertsmith.atomic import write_atomically
from bertsmith.data.shards import MANIFEST
from bertsmith.errors import BertsmithError, ConfigError
from bertsmith.export.model_folder import load_weights, save_model
from bertsmith.tasks.model import BertForTasks
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.checkpoint import Checkpoints, TrainingState
from bertsmith.training.distributed import Group, is_distributed, joined, local_device
from bertsmith.training.ended_run import FILE as RUN_FILE
from bertsmith.training.ended_run import (
    has_length_of,
    holds_model,
    read_ended_run,
    write_ended_run,
)
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.held_out import HeldOut
from bertsmith.training.log import Log, RunLog
from bertsmith.training.outcome import Outcome
from bertsmith.training.parallelize import choose_device, limit_host_threads
from bertsmith.training.placement import Placement
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.recipe import TrainSettings
from bertsmith.training.replication import Replication
from bertsmith.training.schedule import progress
from bertsmith.training.sharding import FullSharding
from bertsmith.training.stages import Stage
from bertsmith.training.trainer import Trainer

# What a resumed run may not change, since it would be another run.
_FIXED = (
    "tasks",
    "task",
    "mode",
    "features",
    "model",
    "data",
    "optimizer.name",
    "train.seed",
    "train.batch_tokens",
    "train.batch_size",
    "train.accumulation_steps",
    "train.rampup_accumulation_steps",
    "train.rampup_proportion",
)


RECIPE = "recipe.toml"
METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Start:
    """How a run begins."""

    checkpoints: Checkpoints
    device: torch.device
    state: TrainingState | None
    """The checkpoint to go on from; None for a new run."""
    lock: FileLock | None
    """The first process holds it until the run is over, so that no other run writes there."""
    group: Group
    """The processes that train the model."""
    ended: Outcome | None = None
    """How the run ended, where it is over and its model is in the folder."""


def _release(lock: FileLock) -> Callable[..., None]:
    """What is to be done with a run's folder when the run has ended one way or another."""

    def release(kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, BertsmithError):
            folder = Path(lock.lock_file).parent
            empty = [file.name for file in folder.glob(METRICS) if file.stat().st_size == 0]
            leave_nothing(lock, [RECIPE, *empty])
        lock.release()

    return release


def leave_nothing(lock: FileLock, files: Iterable[str]) -> None:
    """Remove the folder of what failed before it had anything to keep but these files."""
    path = Path(lock.lock_file)
    names = [path.name, *files]
    if {each.name for each in path.parent.iterdir()} <= set(names):
        for name in names:
            (path.parent / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()


@contextlib.contextmanager
def start_run(recipe: PretrainRecipe | FinetuneRecipe, *, resume: bool) -> Iterator[Start]:
    """Prepare the folder, the device and the generators, before anything expensive is done.

    Of several processes the first takes and writes the folder, when all have looked into it.

    Raises:
        ConfigError: when the folder holds a run and `resume` is false, or the run to go on with
            was started with other settings.
    """
    if isinstance(recipe, FinetuneRecipe) and is_distributed():
        raise ConfigError("fine-tuning runs in one process; start it without torchrun")
    checkpoints, state, ended = check_output(recipe, resume=resume)
    device = set_up_torch(recipe.train)
    with contextlib.ExitStack() as stack:
        group = stack.enter_context(joined(device))
        group.share_of(recipe.train.accumulation_steps)
        group.share_of(recipe.train.microbatches(0.0), "rampup_accumulation_steps")
        group.wait_for_all()
        lock = None
        if group.is_first:
            lock = lock_folder(recipe.train.output)
            stack.push(_release(lock))
        yield Start(checkpoints, device, state, lock, group, ended)


def check_output(
    recipe: PretrainRecipe | FinetuneRecipe, *, resume: bool
) -> tuple[Checkpoints, TrainingState | None, Outcome | None]:
    """See that the run's folder is free for it, and what it has to go on with; nothing is written.

    Returns:
        The run's checkpoints, the state of the last one, and how the run ended if it is over.

    Raises:
        ConfigError: as for `start_run`.
    """
    settings = recipe.train
    if (settings.output / MANIFEST).exists():
        raise ConfigError(
            f"train.output ({settings.output}) is a folder of prepared text; choose another one"
        )
    checkpoints = Checkpoints(settings.output / "checkpoints", keep=settings.keep_checkpoints)
    ended = read_ended_run(settings.output)
    if ended is not None and resume:
        _check_same(recipe, ended.state.recipe)
        if has_length_of(recipe.to_dict(), ended.state.recipe):
            return checkpoints, None, ended
    state = checkpoints.latest()
    if state is not None and not resume:
        raise ConfigError(
            f"{settings.output} holds a run of {state.step} steps; go on with it by --resume, or "
            "choose another folder for this one"
        )
    if state is not None:
        _check_same(recipe, state.recipe)
    elif ended is not None:
        raise ConfigError(
            f"{settings.output} holds a run that is over after {ended.state.step} steps, without "
            "checkpoints to go on from (train.keep_checkpoints); choose another folder, and to "
            f"start from this model set model.init={settings.output}"
        )
    elif (settings.output / "config.json").exists():
        raise ConfigError(
            f"{settings.output} holds a model already; choose another folder for this run's"
        )
    return checkpoints, state, None


def set_up_torch(settings: TrainSettings) -> torch.device:
    """Set threads and seed, and choose the device.

    Raises:
        ConfigError: there is no such device, or by far not as many cores.
    """
    device = choose_device(local_device(settings.device))
    cores = os.cpu_count() or 1
    if settings.num_threads is not None and settings.num_threads > 4 * cores:
        raise ConfigError(
            f"train.num_threads ({settings.num_threads}) must be at most {4 * cores} on this "
            f"machine of {cores} cores"
        )
    if settings.num_threads is None:
        limit_host_threads(device)
    else:
        torch.set_num_threads(settings.num_threads)
    torch.manual_seed(settings.seed)
    return device


def _placement(group: Group, *, is_sharded: bool, cuda_graphs: bool) -> Placement:
    """How the model is to lie on the run's processes."""
    if is_sharded:
        return FullSharding(group)
    # A graph's replay tells nobody which gradients have come.
    return Placement() if group.size == 1 or cuda_graphs else Replication(group)


def train(
    start: Start,
    recipe: PretrainRecipe | FinetuneRecipe,
    model: BertForTasks,
    tokenizer: Tokenizer,
    stages: Sequence[Stage],
    held_out: HeldOut | None,
    steps: int | None,
    *,
    finish: Callable[[BertForTasks], None] = lambda _: None,
    cuda_graphs: bool = False,
    is_sharded: bool = False,
) -> Outcome:
    """Run the loop, then leave the best model, or without held-out data the last, in the folder.

    A run that was asked to stop leaves its checkpoint and no model. Of a run that is over already,
    the model is only looked at once more.

    Args:
        start: of the run.
        recipe: of the run.
        model: on the CPU; it has the weights that a new run begins with.
        tokenizer: the model's.
        stages: what to train on, one after another.
        held_out: what to measure on, if anything.
        steps: the run's length in steps; None when it is a time.
        finish: sees the model before it is saved.
        cuda_graphs: replay the passes as such, where the device is one for them.
        is_sharded: whether the model is dealt out over the processes.

    Raises:
        ConfigError: the run to go on with is longer already; its folder is then as it was.
    """
    settings = recipe.train
    if start.ended is not None:
        if start.group.is_first:
            tqdm.write(_is_over(settings, steps), file=sys.stderr)
        load_weights(model, settings.output)
        whole = model if is_sharded else model.to(start.device)
        _leave(start, recipe, whole, tokenizer, start.ended, finish)
        return start.ended
    done = start.state or TrainingState()
    if steps is not None and done.step > steps:
        raise ConfigError(
            f"the run in {settings.output} has done {done.step} steps already and is to end after "
            f"{steps}; make it longer ({_length(settings, steps)}), or choose another folder"
        )
    if start.group.is_first:
        write_atomically(settings.output / RECIPE, [recipe.to_toml().encode()])
        (settings.output / RUN_FILE).unlink(missing_ok=True)
        start.checkpoints.remove_after(done.step)
    part = progress(
        done.step, done.elapsed_seconds, steps=steps, budget_minutes=settings.budget_minutes
    )
    if start.state is not None:
        start.checkpoints.restore_model(start.state.step, model)
    placement = _placement(start.group, is_sharded=is_sharded, cuda_graphs=cuda_graphs)
    with contextlib.ExitStack() as stack:
        log = Log()
        if start.group.is_first:
            log = stack.enter_context(
                RunLog(settings.output, recipe.log, resumed_step=done.step, progress=part)
            )
        trainer = Trainer(
            placement.place(model, start.device),
            tokenizer,
            stages,
            held_out=held_out,
            settings=settings,
            steps=steps,
            optimizer=recipe.optimizer,
            schedule=recipe.schedule,
            checkpoints=start.checkpoints,
            log=log,
            log_every_steps=recipe.log.interval(steps),
            recipe=recipe.to_dict(),
            cuda_graphs=cuda_graphs,
            group=start.group,
            placement=placement,
        )
        if start.state is not None:
            trainer.resume(start.state)
            if part >= 1:
                log.say(_is_over(settings, steps))
        outcome = trainer.fit()
    if outcome.stopped_by is None:
        _leave(start, recipe, trainer.restore_best(), tokenizer, outcome, finish)
    return outcome


def _is_over(settings: TrainSettings, steps: int | None) -> str:
    return (
        f"the run in {settings.output} is over, so that nothing is trained, whatever the settings; "
        f"{_length(settings, steps)} makes it longer"
    )


def _length(settings: TrainSettings, steps: int | None) -> str:
    """The setting that says how long a run is."""
    if steps is None:
        return "train.budget_minutes"
    return "train.steps" if settings.steps else "train.epochs"


def _leave(
    start: Start,
    recipe: PretrainRecipe | FinetuneRecipe,
    model: BertForTasks,
    tokenizer: Tokenizer,
    outcome: Outcome,
    finish: Callable[[BertForTasks], None],
) -> None:
    """Make the run's folder a model folder."""
    if not start.group.is_first:
        return
    finish(model)
    if not (recipe.train.output / RECIPE).exists():  # removed by a user during the run
        write_atomically(recipe.train.output / RECIPE, [recipe.to_toml().encode()])
    # Without it a first model would be taken for another run's, and there may be no checkpoint.
    # Beside the model of a run that was shorter it would be taken for that model's.
    is_longer = holds_model(recipe.train.output)
    if not is_longer:
        write_ended_run(recipe.train.output, outcome)
    save_model(recipe.train.output, model, tokenizer)
    if is_longer:
        write_ended_run(recipe.train.output, outcome)
    if recipe.train.keep_checkpoints == 0:
        start.checkpoints.remove()


def lock_folder(output: Path) -> FileLock:
    """Take a run's folder for this process; the system gives it back when the process ends.

    Raises:
        ConfigError: another process has it, or it cannot be written.
    """
    lock = FileLock(output / ".lock")
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"another run is writing to {output}; wait for it, or choose another train.output"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"train.output ({output}) cannot be written: {error.strerror or error}; choose another "
            "folder"
        ) from None
    return lock


def _check_same(recipe: PretrainRecipe | FinetuneRecipe, then: dict[str, Any]) -> None:
    now = recipe.to_dict()
    with contextlib.suppress(ConfigError):
        # A setting that there was not when the run was started has its default.
        then = type(recipe).from_dict(then).to_dict()
    for name in _FIXED:
        ours, theirs = _get(now, name), _get(then, name)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            keys = [key for key in {**theirs, **ours} if ours.get(key) != theirs.get(key)]
            name, ours, theirs = (
                (f"{name}.{keys[0]}", ours.get(keys[0]), theirs.get(keys[0]))
                if keys
                else (name, None, None)
            )
        if ours != theirs:
            raise ConfigError(
                f"{name} is {'not set' if ours is None else ours} and the run to resume was "
                f"started with {'none' if theirs is None else theirs}; resume with the recipe.toml "
                "in its folder"
            )


def _get(recipe: dict[str, Any], name: str) -> Any:
    value: Any = recipe
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value

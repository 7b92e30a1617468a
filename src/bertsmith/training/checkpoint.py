"""Everything a run needs to go on as if it had never stopped, written so that it is never torn.

A checkpoint is a model folder that `transformers` opens, plus three files: the optimizers' state
(optimizer.safetensors), the random generators' (generators.safetensors) and where the run is
(training.json). Nothing is pickled. The folder gets its name by one rename after its bytes have
reached the disk, and training.json, which is written last, lists the other files' sizes. The best
model of each one's time is a plain model folder beside them, unless one of them has it.

What is written is a `Snapshot`, so that a thread can write it while training goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bertsmith.atomic import atomic_folder
from bertsmith.data.loader import Position
from bertsmith.errors import CheckpointError, DataError
from bertsmith.export.model_folder import (
    ModelContents,
    load_weights,
    model_contents,
    save_model,
    write_model_files,
)
from bertsmith.export.weight_files import write_safetensors
from bertsmith.tasks.model import BertForTasks
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.optimizer import load_optimizer_state, optimizer_state
from bertsmith.training.placement import Placement

_NAME = re.compile(r"step-(\d{8})")
_FOLDER = re.compile(r"(step|best)-\d{8}")
_PARTIAL = re.compile(r"\.(step|best)-\d{8}\.\d+\.partial")
STATE_FILE = "training.json"


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Where a run is, JSON-ready."""

    step: int = 0
    """Optimizer steps done."""
    tokens: int = 0
    """Tokens trained on."""
    elapsed_seconds: float = 0.0
    """Time spent training, over all parts of a run that was resumed."""
    position: dict[str, Any] | None = None
    """Where the data goes on (`bertsmith.data.loader`); None at the start."""
    best_step: int | None = None
    """The step with the best held-out figure so far."""
    best_figures: dict[str, float] = field(default_factory=dict)
    """All held-out figures of that step."""
    evaluations_since_best: int = 0
    recipe: dict[str, Any] = field(default_factory=dict)
    """The settings that the run was started with."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that a checkpoint holds, as it was after one step; training no longer changes it."""

    state: TrainingState
    model: ModelContents
    tokenizer: Tokenizer
    optimizer: Mapping[str, Tensor]
    """As `optimizer_state` gives it."""
    generators: Mapping[str, Tensor]
    best: ModelContents | None = None
    """The model at `state.best_step`; not read where that is on the disk."""


def take_snapshot(
    state: TrainingState,
    model: BertForTasks,
    tokenizer: Tokenizer,
    optimizers: Sequence[torch.optim.Optimizer],
    best: ModelContents | None = None,
    placement: Placement | None = None,
) -> Snapshot:
    """Copy what a checkpoint holds to the CPU's memory.

    Of a model that is sharded every process has to take one, and the first one's is whole.

    Args:
        state: where the run is.
        model: as it is now.
        tokenizer: the model's.
        optimizers: of the model's parameters.
        best: the model as it was at `state.best_step`, copied before.
        placement: of the model.
    """
    placement = placement or Placement()
    return Snapshot(
        state=state,
        model=copied_contents(model, placement),
        tokenizer=tokenizer,
        optimizer=placement.copies(optimizer_state(optimizers, parameter_names(model))),
        generators=_generator_state(_device_of(model)),
        best=best,
    )


def copied_contents(model: BertForTasks, placement: Placement) -> ModelContents:
    """A model as it is now, copied to the CPU's memory."""
    return model_contents(model, placement.copies(dict(model.named_parameters())))


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: holds one folder `step-00001000` for each, and `best-00000900` with the best model.
        keep: how many of the latest to keep, at least one.
    """

    def __init__(self, folder: Path, *, keep: int) -> None:
        self.folder = folder
        self.keep = max(1, keep)

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step is or would be."""
        return self.folder / f"step-{step:08}"

    def save(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint, whole or not at all, then remove those no longer wanted.

        Raises:
            DataError: the disk is full or the folder cannot be written.
        """
        path = self.path(snapshot.state.step)
        if path.exists():
            return path
        try:
            self._write(path, snapshot)
        except DataError as error:
            steps = self.steps()
            hint = f", with --resume to go on after step {steps[-1]}" if steps else ""
            raise DataError(f"{error}{hint}") from None
        self._prune()
        return path

    def _write(self, path: Path, snapshot: Snapshot) -> None:
        state, best, tokenizer = snapshot.state, snapshot.best, snapshot.tokenizer
        if best is not None and state.best_step not in (None, state.step):
            place = self.path_of_best(state.best_step)
            if not place.exists():
                save_model(place, best, tokenizer)
        with atomic_folder(path) as partial:
            write_model_files(partial, snapshot.model, tokenizer)
            write_safetensors(partial / "optimizer.safetensors", snapshot.optimizer)
            write_safetensors(partial / "generators.safetensors", snapshot.generators)
            sizes = {file.name: file.stat().st_size for file in sorted(partial.iterdir())}
            contents = {"state": dataclasses.asdict(state), "sizes": sizes}
            text = json.dumps(contents, indent=1) + "\n"
            (partial / STATE_FILE).write_text(text, encoding="utf-8")

    def path_of_best(self, step: int) -> Path:
        """Where the best model is, when it is that of a step: a checkpoint or a folder beside."""
        checkpoint = self.path(step)
        return checkpoint if checkpoint.exists() else self.folder / f"best-{step:08}"

    def steps(self) -> list[int]:
        """Steps of which there is a checkpoint, ascending; unfinished ones do not count."""
        if not self.folder.is_dir():
            return []
        matches = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def latest(self) -> TrainingState | None:
        """The state of the latest checkpoint whose files are all there; None when there is none.

        Raises:
            CheckpointError: when there are checkpoints and every one of them is damaged.
        """
        steps = self.steps()
        damages = []
        for step in reversed(steps):
            try:
                return read_state(self.path(step))
            except CheckpointError as error:
                damages.append(str(error))
        if damages:
            raise CheckpointError(f"no checkpoint can be used: {damages[0]}")
        return None

    def restore_model(self, step: int, model: BertForTasks) -> None:
        """Put a checkpoint's weights in place, before the model is placed for training."""
        load_weights(model, self.path(step))

    def restore(
        self,
        step: int,
        model: BertForTasks,
        optimizers: Sequence[torch.optim.Optimizer],
        placement: Placement,
    ) -> None:
        """Put the rest of a checkpoint in place: the optimizers' and the generators' state."""
        path = self.path(step)
        tensors = _read(path / "optimizer.safetensors")
        names = parameter_names(model)
        load_optimizer_state(optimizers, names, tensors, part_like=placement.part_like)
        _set_generator_state(_read(path / "generators.safetensors"), _device_of(model))

    def remove(self) -> None:
        """Remove all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_after(self, step: int) -> None:
        """Remove what an earlier try left of later steps, which will be done again.

        Also what it was writing when it was killed.
        """
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                is_later = _FOLDER.fullmatch(path.name) and int(path.name[5:]) > step
                if is_later or _PARTIAL.fullmatch(path.name):
                    shutil.rmtree(path)

    def _prune(self) -> None:
        """Remove what neither a run that goes on nor the choice of the best model needs.

        A run may be made to go on from any checkpoint that is kept, each with a best of its own.
        """
        kept = set()
        for path in map(self.path, self.steps()[-self.keep :]):
            kept.add(path)
            with contextlib.suppress(CheckpointError):  # a damaged one is not gone on from
                best_step = read_state(path).best_step
                kept |= set() if best_step is None else {self.path_of_best(best_step)}
        for path in self.folder.iterdir():
            if _FOLDER.fullmatch(path.name) and path not in kept:
                shutil.rmtree(path)


def read_state(path: Path) -> TrainingState:
    """Read where a checkpoint is, and see that its files are all there and whole.

    Raises:
        CheckpointError: when one is not.
    """
    try:
        contents = json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
        state, sizes = TrainingState(**contents["state"]), dict(contents["sizes"])
        if state.position is not None:
            Position(**state.position)
        if not all(isinstance(number, int) for number in (state.step, state.tokens)):
            raise ValueError("step and tokens are numbers")
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(
            f"{path / STATE_FILE} is missing, damaged or of another version; resume from another "
            "checkpoint"
        ) from None
    for name, size in sizes.items():
        file = path / name
        if not file.is_file() or file.stat().st_size != size:
            raise CheckpointError(f"{file} is missing or truncated; resume from another checkpoint")
    return state


def parameter_names(model: torch.nn.Module) -> dict[Tensor, str]:
    """Each parameter's name; one that is used twice has the first."""
    return {parameter: name for name, parameter in model.named_parameters()}


def _device_of(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device


def _generator_state(device: torch.device) -> dict[str, Tensor]:
    """Of the CPU and, where the model is on a GPU, of that GPU, which need not be the first."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_generator_state(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{file} is damaged ({error}); delete its folder to go on from the one before"
        ) from None

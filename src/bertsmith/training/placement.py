"""How a model lies on the processes of a run, and when its gradients go from one to another.

One process has all of it. Of several, each has all of it (`replication`) or a part of every
parameter (`sharding`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from bertsmith.tasks.model import BertForTasks
from bertsmith.training.distributed import gradients_of
from bertsmith.training.host_copies import host_copies


class Placement:
    """How a model lies on the processes of a run; here each has all of it."""

    is_whole = True

    def place(self, model: BertForTasks, device: torch.device) -> BertForTasks:
        """Put a model from the CPU on the device where it trains."""
        return model.to(device)

    def begin_pass(self, model: BertForTasks, *, is_last: bool) -> None:
        """To be called before each microbatch of a step.

        Args:
            model: placed.
            is_last: whether the gradients are complete after it.
        """

    def end_evaluation(self, model: BertForTasks) -> None:
        """To be called when the model has been used without a backward pass."""

    def unsent_gradients(self, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        """Those that are still to be added up over all processes, when the others have been."""
        return gradients_of(parameters)

    def whole(self, tensor: Tensor) -> Tensor:
        """All of a tensor; every process has to ask."""
        return tensor

    def local(self, tensor: Tensor) -> Tensor:
        """What this process has of a tensor."""
        return tensor

    def part_like(self, whole: Tensor, parameter: Tensor) -> Tensor:  # noqa: ARG002
        """A copy of a tensor, dealt out as a parameter of its shape is; all processes have it."""
        return whole.clone()

    def copies(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`host_copies` of all of them; every process has to ask, and the first gets them."""
        return host_copies(tensors.items())

    def whole_model(self, model: BertForTasks) -> BertForTasks:
        """The model to be left in a folder; every process has to ask, and the first gets it."""
        return model

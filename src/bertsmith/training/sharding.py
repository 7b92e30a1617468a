"""A model whose parameters are dealt out over the processes of a run.

Fully sharded data parallelism (Rajbhandari et al. 2020, "ZeRO", its third stage; Zhao et al. 2023,
"PyTorch FSDP"): each process has a part of every parameter, of its gradient and of what the
optimizer keeps for it. A layer is put together when it is computed and taken apart after it.

This file and distributed.py are the only ones that read torch.distributed. What is needed of it
here is imported by the functions that need it, since that takes a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bertsmith.export.model_folder import model_contents, take_weights
from bertsmith.tasks.model import BertForTasks
from bertsmith.training.distributed import Group
from bertsmith.training.host_copies import host_copies
from bertsmith.training.placement import Placement


class FullSharding(Placement):
    """Each process has a part of every parameter.

    Args:
        group: the processes, of which there are several.
    """

    is_whole = False

    def __init__(self, group: Group) -> None:
        self.group = group

    def place(self, model: BertForTasks, device: torch.device) -> BertForTasks:
        """Deal a model out; there is never more than a layer of it on the device."""
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard

        mesh = init_device_mesh(device.type, (self.group.size,))
        for layer in model.bert.encoder.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                # Losses are shares of a step over all processes, whose gradients are sums.
                module.set_gradient_divide_factor(1.0)
                # With a plain sum, since gloo has no other.
                module.set_force_sum_reduction_for_comms(True)
        return model

    def begin_pass(self, model: BertForTasks, *, is_last: bool) -> None:
        """Let the gradients of the last microbatch take those before along to their processes."""
        _fsdp(model).set_requires_gradient_sync(is_last)

    def end_evaluation(self, model: BertForTasks) -> None:
        """Take apart what is otherwise kept whole for the backward pass."""
        _fsdp(model).reshard()

    def unsent_gradients(self, parameters: Sequence[nn.Parameter]) -> list[Tensor]:  # noqa: ARG002
        """None: they have been added up on the way to their processes."""
        return []

    def whole(self, tensor: Tensor) -> Tensor:
        """All of a tensor; every process has to ask."""
        from torch.distributed.tensor import DTensor

        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def local(self, tensor: Tensor) -> Tensor:
        """What this process has of a tensor."""
        from torch.distributed.tensor import DTensor

        return tensor.to_local() if isinstance(tensor, DTensor) else tensor

    def part_like(self, whole: Tensor, parameter: Tensor) -> Tensor:
        """A copy of a tensor, dealt out as a parameter of its shape is; all processes have it."""
        from torch.distributed.tensor import DTensor, distribute_tensor

        assert isinstance(parameter, DTensor)  # noqa: S101 - `place` makes all of them such
        mesh, placements = parameter.device_mesh, parameter.placements
        return distribute_tensor(whole, mesh, placements, src_data_rank=None).clone()

    def copies(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`host_copies` of all of them; every process has to ask, and the first gets them."""
        return host_copies(self._wholes(tensors), are_kept=self.group.is_first)

    def _wholes(self, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """One after the other, since all of them together may not fit."""
        for name, tensor in tensors.items():
            yield name, self.whole(tensor.detach())

    def whole_model(self, model: BertForTasks) -> BertForTasks:
        """The model to be left in a folder; every process has to ask, and the first gets it."""
        parameters = self.copies(dict(model.named_parameters()))
        if not self.group.is_first:
            return model
        with_pooler = model.bert.pooler is not None
        whole = BertForTasks(model.config, model.tasks, with_pooler=with_pooler, is_drawn=False)
        take_weights(whole, model_contents(model, parameters))
        return whole


def _fsdp(model: BertForTasks) -> Any:
    """As the subclass of its class that `fully_shard` has made of it."""
    return model

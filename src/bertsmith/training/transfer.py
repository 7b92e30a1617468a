"""What fine-tuning leaves as it was pre-trained, and what it begins anew.

The paper trains all parameters from where pre-training left them (section 3.2). On few records two
ways off it are known: lower layers that stay as they are, and top layers that start afresh
(Zhang et al. 2021, "Revisiting few-sample BERT fine-tuning").
"""

from __future__ import annotations

import dataclasses

from torch import nn

from bertsmith.errors import ConfigError
from bertsmith.export.load_report import LoadReport
from bertsmith.model.bert import Bert
from bertsmith.model.initialization import initialize
from bertsmith.training.finetune_recipe import FinetuneModel


def set_up_encoder(bert: Bert, settings: FinetuneModel, report: LoadReport) -> LoadReport:
    """Freeze and begin anew what the settings name; new values come from PyTorch's generator.

    A run that goes on from a checkpoint does the same and then takes the checkpoint's values.

    Args:
        bert: as pre-trained; it is changed.
        settings: the `[model]` section.
        report: of the reading of `bert`, in a model of tasks.

    Returns:
        the report, with what has begun anew and what is frozen.

    Raises:
        ConfigError: when there are not as many layers.
    """
    layers = bert.encoder.layers
    _check(len(layers), settings)
    fresh: list[nn.Module] = list(layers[len(layers) - settings.reinit_layers :])
    if fresh and bert.pooler is not None:
        fresh.append(bert.pooler)
    for module in fresh:
        initialize(module, bert.config.initializer_range)
    frozen: list[nn.Module] = list(layers[: settings.freeze_layers])
    if frozen or settings.freeze_embeddings:
        frozen.append(bert.embeddings)
    for module in frozen:
        module.requires_grad_(False)
    fresh_names = _names_in(bert, fresh)
    return dataclasses.replace(
        report,
        used=[name for name in report.used if name not in fresh_names],
        new=[*fresh_names, *(name for name in report.new if name not in fresh_names)],
        frozen=_names_in(bert, frozen),
    )


def _check(num_layers: int, settings: FinetuneModel) -> None:
    for name in ("freeze_layers", "reinit_layers"):
        if getattr(settings, name) > num_layers:
            raise ConfigError(
                f"model.{name} ({getattr(settings, name)}) must be at most {num_layers}, the "
                f"layers of {settings.init}"
            )
    if settings.freeze_layers + settings.reinit_layers > num_layers:
        raise ConfigError(
            f"model.freeze_layers ({settings.freeze_layers}) and model.reinit_layers "
            f"({settings.reinit_layers}) must not be more than {num_layers} together, the layers "
            f"of {settings.init}; a layer that starts anew must be trained, so lower one"
        )


def _names_in(bert: Bert, modules: list[nn.Module]) -> list[str]:
    """Names of parameters as a model of tasks has them, in the model's order."""
    chosen = {parameter for module in modules for parameter in module.parameters()}
    return [f"bert.{name}" for name, parameter in bert.named_parameters() if parameter in chosen]

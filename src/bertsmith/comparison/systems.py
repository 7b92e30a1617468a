"""The systems that are compared, in the order of their years."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from bertsmith.comparison.by_counts import pretrain_by_counts
from bertsmith.comparison.by_objective import pretrain_by_objective
from bertsmith.comparison.system import WHOLE, System
from bertsmith.errors import ConfigError

# Single segments among the pairs, as in the recipes that come along (docs/decisions/0013).
_PAIRS: dict[str, Any] = {"data": {"single_segment_prob": 0.15}}

SYSTEMS = (
    System(
        name="glove",
        title="GloVe",
        source="Pennington et al. 2014",
        pretrain=pretrain_by_counts,
        settings={"model": {"encoder": "static_vectors"}},
    ),
    System(
        name="elmo",
        title="ELMo",
        source="Peters et al. 2018",
        pretrain=pretrain_by_objective,
        settings={
            "tasks": ["bidirectional_lm"],
            "model": {"encoder": "two_lstms", "num_hidden_layers": 2},
        },
        matched_size="intermediate_size",
    ),
    System(
        name="gpt",
        title="GPT (LTR & No NSP)",
        source="Radford et al. 2018; Devlin et al. 2019, table 5, row 3",
        pretrain=pretrain_by_objective,
        settings={"tasks": ["next_token"], "model": {"encoder": "left_to_right"}},
    ),
    System(
        name="gpt_bilstm",
        title="LTR & No NSP + BiLSTM",
        source="Devlin et al. 2019, table 5, row 4",
        pretrain=pretrain_by_objective,
        shares="gpt",
        modes=MappingProxyType({WHOLE: "finetune_bilstm"}),
    ),
    System(
        name="bert_no_nsp",
        title="BERT, No NSP",
        source="Devlin et al. 2019, table 5, row 2",
        pretrain=pretrain_by_objective,
        settings={"tasks": ["masked_lm"]},
    ),
    System(
        name="bert",
        title="BERT",
        source="Devlin et al. 2019, table 5, row 1",
        pretrain=pretrain_by_objective,
        settings={"tasks": ["masked_lm", "next_sentence"], **_PAIRS},
    ),
)


def chosen_systems(names: list[str] | None) -> list[System]:
    """The systems of these names, in their usual order; None: all.

    Raises:
        ConfigError: there is none of a name.
    """
    known = {system.name: system for system in SYSTEMS}
    for name in names or []:
        if name not in known:
            raise ConfigError(f"{name!r} is not a system; those are {', '.join(known)}")
    return [system for system in SYSTEMS if names is None or system.name in names]

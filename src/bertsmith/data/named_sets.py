"""Data sets that have a name: the task of each, its files as published, and what decides.

Nine tasks of GLUE (Wang et al. 2019) with its diagnostic set, and SNLI, SQuAD, SWAG, CODAH,
CoNLL-2003, WNUT 2017 and UD English EWT. The figures that decide are those of the paper's table 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bertsmith.data.layout import Layout
from bertsmith.errors import ConfigError

GLUE = "glue:"


@dataclass(frozen=True, kw_only=True)
class NamedSet:
    """Everything about a data set that its user need not say.

    A split is `train`, `dev` or `test`, and `dev_` and `test_` with a word for a second one.
    """

    task: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The task's, with labels in the published order and `figure`, what chooses the best model."""
    folders: tuple[str, ...]
    """What the folder of its files may be called, capitals and signs left away."""
    files: Mapping[str, tuple[str, ...]]
    """Of each split, the names that its file may have; the first that is there counts."""
    layout: Layout = field(default_factory=Layout)
    divided: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Files that hold several splits: `train` and then those that get a tenth each."""
    numbers: tuple[str, ...] = ()
    """What labels 0, 1, ... stand for in the files, or on the hub, that have numbers for names."""
    hub: tuple[str, str | None] | None = None
    """Its name on Hugging Face's hub, and that of the part of it."""
    hub_splits: Mapping[str, str] = field(
        default_factory=lambda: {"train": "train", "dev": "validation", "test": "test"}
    )
    submissions: Mapping[str, str] = field(default_factory=dict)
    """The file in which gluebenchmark.com takes the answers for a split."""


_TSV: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {split: (f"{split}.tsv",) for split in ("train", "dev", "test")}
)
_ENTAILMENT = ("entailment", "not_entailment")
_NLI = ("contradiction", "entailment", "neutral")
_NLI_NUMBERS = ("entailment", "neutral", "contradiction")


def _glue(name: str, file: str, *folders: str, **rest: Any) -> dict[str, NamedSet]:
    """One of GLUE's tasks; `file` is what its answers are sent in as."""
    usual = {"task": "sequence_classification", "files": _TSV, "hub": ("nyu-mll/glue", name)}
    found = NamedSet(
        folders=(name, *folders), **usual | {"submissions": {"test": f"{file}.tsv"}} | rest
    )
    return {GLUE + name: found}


NAMED_SETS: Mapping[str, NamedSet] = MappingProxyType(
    _glue(
        "cola",
        "CoLA",
        settings={"labels": ["0", "1"], "figure": "matthews_correlation"},
        # Without a header, but for the test file: source, label, the author's mark, sentence.
        layout=Layout(text="4", label="2", is_required=False),
    )
    | _glue("sst2", "SST-2", settings={"labels": ["0", "1"]})
    | _glue(
        "mrpc",
        "MRPC",
        settings={"labels": ["0", "1"], "figure": "f1"},
        files={
            "train": ("train.tsv", "msr_paraphrase_train.txt"),
            "dev": ("dev.tsv", "msr_paraphrase_train.txt"),
            "test": ("test.tsv", "msr_paraphrase_test.txt"),
        },
        layout=Layout(format="tsv"),
        divided={"msr_paraphrase_train.txt": ("train", "dev")},
    )
    | _glue("stsb", "STS-B", task="sequence_regression", settings={"figure": "spearman"})
    | _glue(
        "qqp",
        "QQP",
        settings={"labels": ["0", "1"], "figure": "f1"},
        layout=Layout(skips_broken_rows=True),
    )
    | _glue(
        "mnli",
        "MNLI-m",
        settings={"labels": list(_NLI)},
        files={
            "train": ("train.tsv",),
            "dev": ("dev_matched.tsv",),
            "dev_mismatched": ("dev_mismatched.tsv",),
            "test": ("test_matched.tsv",),
            "test_mismatched": ("test_mismatched.tsv",),
        },
        numbers=_NLI_NUMBERS,
        hub_splits={
            "train": "train",
            "dev": "validation_matched",
            "dev_mismatched": "validation_mismatched",
            "test": "test_matched",
            "test_mismatched": "test_mismatched",
        },
        submissions={"test": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"},
    )
    | _glue("qnli", "QNLI", settings={"labels": list(_ENTAILMENT)}, numbers=_ENTAILMENT)
    | _glue("rte", "RTE", settings={"labels": list(_ENTAILMENT)}, numbers=_ENTAILMENT)
    | _glue("wnli", "WNLI", settings={"labels": ["0", "1"]})
    | _glue(
        "ax",
        "AX",
        "diagnostic",
        settings={"labels": list(_NLI), "figure": "matthews_correlation"},
        files={"dev": ("diagnostic-full.tsv",), "test": ("diagnostic.tsv", "test.tsv")},
        numbers=_NLI_NUMBERS,
        hub_splits={"test": "test"},
    )
    | {
        "snli": NamedSet(
            task="sequence_classification",
            settings={"labels": list(_NLI_NUMBERS)},
            folders=("snli", "snli10"),
            files={
                split: (f"snli_1.0_{split}.jsonl", f"{split}.tsv")
                for split in ("train", "dev", "test")
            },
            layout=Layout(text="1", pair="2", label="3", is_required=False),
            numbers=_NLI_NUMBERS,
            hub=("stanfordnlp/snli", None),
        ),
        "swag": NamedSet(
            task="multiple_choice",
            folders=("swag", "data"),
            files={"train": ("train.csv",), "dev": ("val.csv",), "test": ("test.csv",)},
            hub=("allenai/swag", "regular"),
        ),
        "codah": NamedSet(
            task="multiple_choice",
            folders=("codah", "data"),
            files=dict.fromkeys(("train", "dev", "test"), ("full_data.tsv",)),
            divided={"full_data.tsv": ("train", "dev", "test")},
            # Without a header: category, prompt, four endings, the right one's place.
            layout=Layout(text="2", choices="3,4,5,6", label="7", header=False),
        ),
        "squad": NamedSet(
            task="question_answering",
            folders=("squad", "squad11"),
            files={"train": ("train-v1.1.json",), "dev": ("dev-v1.1.json",)},
            hub=("rajpurkar/squad", None),
        ),
        "squad_v2": NamedSet(
            task="question_answering",
            folders=("squadv2", "squad2", "squad20", "squad"),
            files={"train": ("train-v2.0.json",), "dev": ("dev-v2.0.json",)},
            hub=("rajpurkar/squad_v2", None),
        ),
        "conll2003": NamedSet(
            task="token_classification",
            folders=("conll2003", "conll03", "conll"),
            files={
                "train": ("train.txt", "eng.train"),
                "dev": ("valid.txt", "eng.testa"),
                "test": ("test.txt", "eng.testb"),
            },
            layout=Layout(format="conll"),
        ),
        "wnut17": NamedSet(
            task="token_classification",
            folders=("wnut17", "wnut17ner", "wnut2017", "emergingentities17"),
            files={
                "train": ("wnut17train.conll", "train.conll"),
                "dev": ("emerging.dev.conll", "dev.conll"),
                "test": ("emerging.test.annotated", "test.conll"),
            },
            layout=Layout(format="conll"),
        ),
        "ud-ewt": NamedSet(
            task="token_classification",
            folders=("udewt", "udewtpos", "udenglishewt"),
            files={
                split: (f"en_ewt-ud-{split}.conllu", f"{split}.conllu")
                for split in ("train", "dev", "test")
            },
        ),
    }
)


def is_name(text: str) -> bool:
    """Whether a text is meant as the name of a data set."""
    return text in NAMED_SETS or text.startswith(GLUE)


def named_set(name: str) -> NamedSet:
    """Find a data set.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in NAMED_SETS:
        close = difflib.get_close_matches(name, NAMED_SETS, 1)
        hint = f"did you mean {close[0]}?" if close else f"those are {', '.join(NAMED_SETS)}"
        raise ConfigError(f"{name!r} is not the name of a data set; {hint}")
    return NAMED_SETS[name]

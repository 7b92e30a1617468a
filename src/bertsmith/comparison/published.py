"""What the paper reports of BERT without parts of what makes it (Devlin et al. 2019, table 5)."""

from __future__ import annotations

PUBLISHED_TASKS = ("MNLI-m", "QNLI", "MRPC", "SST-2", "SQuAD F1")
PUBLISHED_ROWS = (
    ("BERT-BASE", (84.4, 88.4, 86.7, 92.7, 88.5)),
    ("no NSP", (83.9, 84.9, 86.5, 92.6, 87.9)),
    ("left to right, no NSP", (82.1, 84.3, 77.5, 92.1, 77.8)),
    ("the same with a BiLSTM", (82.1, 84.1, 75.7, 91.6, 84.9)),
)
"""Figures on the development sets, in percent: accuracy, and of SQuAD 1.1 F1."""

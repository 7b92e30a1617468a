"""Hugging Face's Trainer, for benchmarks/finetune.py: one task, all seeds, as its examples do it.

Texts are tokenized by the fast tokenizer, batches padded to their longest sequence, figures made of
the predictions by the same functions as ours.
"""

from __future__ import annotations

import os

os.environ["TOKENIZERS_PARALLELISM"] = "true"
os.environ["HF_HUB_OFFLINE"] = "1"

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from transformers import AutoTokenizer, Trainer, TrainingArguments

from bertsmith.metrics.squad import score_answer
from bertsmith.metrics.tagging import entity_figures

Rows = list[dict[str, Any]]
DOC_STRIDE = 128  # their overlap of windows
MAX_ANSWER = 30
N_BEST = 20


class Records(torch.utils.data.Dataset):
    """Encoded examples, as a Trainer wants them."""

    def __init__(self, examples: Rows) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.examples[index]


class SequenceTask:
    """Classification and regression of texts and pairs."""

    def __init__(self, job: dict[str, Any], train: Rows) -> None:
        self.job = job
        self.is_regression = job["task"] == "sequence_regression"
        self.labels = [] if self.is_regression else sorted({str(row["label"]) for row in train})

    def model(self) -> Any:
        kind = transformers.AutoModelForSequenceClassification
        count = 1 if self.is_regression else len(self.labels)
        return kind.from_pretrained(self.job["model"], num_labels=count)

    def encode(self, tokenizer: Any, rows: Rows, *, is_training: bool) -> Rows:
        pairs = [row.get("pair") for row in rows]
        encoded = tokenizer(
            [row["text"] for row in rows],
            pairs if pairs[0] is not None else None,
            truncation=True,
            max_length=self.job["max_seqlen"],
        )
        targets = [
            float(row["label"]) if self.is_regression else self.labels.index(str(row["label"]))
            for row in rows
        ]
        return [
            {key: encoded[key][i] for key in encoded} | {"labels": target}
            for i, target in enumerate(targets)
        ]

    def collator(self, tokenizer: Any) -> Any:
        return transformers.DataCollatorWithPadding(tokenizer)

    def figure(self, logits: Any, rows: Rows, examples: Rows) -> float:
        gold = [example["labels"] for example in examples]
        if self.is_regression:
            return float(spearmanr(logits[:, 0], gold).statistic)
        predicted = logits.argmax(-1)
        if self.job["figure"] == "f1":
            return float(f1_score(gold, predicted))
        if self.job["figure"] == "matthews_correlation":
            return float(matthews_corrcoef(gold, predicted))
        return float(accuracy_score(gold, predicted))


class TokenTask:
    """A label for the first piece of each word."""

    def __init__(self, job: dict[str, Any], train: Rows) -> None:
        self.job = job
        self.labels = sorted({tag for row in train for tag in row["tags"]})

    def model(self) -> Any:
        kind = transformers.AutoModelForTokenClassification
        return kind.from_pretrained(self.job["model"], num_labels=len(self.labels))

    def encode(self, tokenizer: Any, rows: Rows, *, is_training: bool) -> Rows:
        encoded = tokenizer(
            [row["tokens"] for row in rows],
            is_split_into_words=True,
            truncation=True,
            max_length=self.job["max_seqlen"],
        )
        examples = []
        for index, row in enumerate(rows):
            words = encoded.word_ids(index)
            labels = [
                -100 if word is None or word == before else self.labels.index(row["tags"][word])
                for before, word in zip([None, *words[:-1]], words, strict=True)
            ]
            example = {key: encoded[key][index] for key in encoded}
            examples.append(example | {"labels": labels})
        return examples

    def collator(self, tokenizer: Any) -> Any:
        return transformers.DataCollatorForTokenClassification(tokenizer)

    def figure(self, logits: Any, rows: Rows, examples: Rows) -> float:
        predicted, gold = [], []
        for row, example, scores in zip(rows, examples, logits, strict=True):
            is_word = np.array(example["labels"]) != -100
            chosen = scores[: len(is_word)][is_word].argmax(-1)
            tags = [self.labels[index] for index in chosen]
            predicted.append(tags + ["O"] * (len(row["tags"]) - len(tags)))
            gold.append(row["tags"])
        return entity_figures(zip(gold, predicted, strict=True))["f1"]


class ChoiceTask:
    """Which of the endings fits."""

    def __init__(self, job: dict[str, Any], train: Rows) -> None:
        self.job = job

    def model(self) -> Any:
        return transformers.AutoModelForMultipleChoice.from_pretrained(self.job["model"])

    def encode(self, tokenizer: Any, rows: Rows, *, is_training: bool) -> Rows:
        examples = []
        for row in rows:
            encoded = tokenizer(
                [row["context"]] * len(row["choices"]),
                row["choices"],
                truncation=True,
                max_length=self.job["max_seqlen"],
            )
            examples.append({key: encoded[key] for key in encoded} | {"labels": row["label"]})
        return examples

    def collator(self, tokenizer: Any) -> Any:
        return transformers.DataCollatorForMultipleChoice(tokenizer=tokenizer)

    def figure(self, logits: Any, rows: Rows, examples: Rows) -> float:
        return float(accuracy_score([row["label"] for row in rows], logits.argmax(-1)))


class AnswerTask:
    """The span that answers a question; windows and n-best as in their run_qa.py."""

    def __init__(self, job: dict[str, Any], train: Rows) -> None:
        self.job = job

    def model(self) -> Any:
        return transformers.AutoModelForQuestionAnswering.from_pretrained(self.job["model"])

    def encode(self, tokenizer: Any, rows: Rows, *, is_training: bool) -> Rows:
        encoded = tokenizer(
            [row["question"].lstrip() for row in rows],
            [row["context"] for row in rows],
            truncation="only_second",
            max_length=self.job["max_seqlen"],
            stride=DOC_STRIDE,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        self.row_of = encoded.pop("overflow_to_sample_mapping")
        offsets = encoded.pop("offset_mapping")
        self.offsets = [
            [
                span if part == 1 else None
                for span, part in zip(spans, encoded.sequence_ids(i), strict=True)
            ]
            for i, spans in enumerate(offsets)
        ]
        examples = []
        for index, spans in enumerate(self.offsets):
            example = {key: encoded[key][index] for key in encoded}
            if is_training:
                answer = rows[self.row_of[index]]["answers"][0]
                start, end = places(spans, answer["answer_start"], len(answer["text"]))
                example |= {"start_positions": start, "end_positions": end}
            examples.append(example)
        return examples

    def collator(self, tokenizer: Any) -> Any:
        return transformers.DataCollatorWithPadding(tokenizer)

    def figure(self, logits: Any, rows: Rows, examples: Rows) -> float:
        best: dict[int, tuple[float, str]] = {}
        for index, (starts, ends) in enumerate(zip(*logits, strict=True)):
            row = self.row_of[index]
            spans = self.offsets[index]
            for start in np.argsort(-starts[: len(spans)])[:N_BEST]:
                for end in np.argsort(-ends[: len(spans)])[:N_BEST]:
                    if not spans[start] or not spans[end] or not 0 <= end - start < MAX_ANSWER:
                        continue
                    score = float(starts[start] + ends[end])
                    if score > best.get(row, (-1e9, ""))[0]:
                        text = rows[row]["context"][spans[start][0] : spans[end][1]]
                        best[row] = score, text
        golds = [[answer["text"] for answer in row["answers"]] for row in rows]
        scores = [score_answer(best.get(i, (0, ""))[1], gold).f1 for i, gold in enumerate(golds)]
        return float(np.mean(scores))


def places(spans: list[Any], start: int, length: int) -> tuple[int, int]:
    """The pieces of an answer; [CLS] where the window does not hold all of it."""
    inside = [i for i, s in enumerate(spans) if s and s[1] > start and s[0] < start + length]
    first = next(i for i, s in enumerate(spans) if s)
    last = max(i for i, s in enumerate(spans) if s)
    if not inside or spans[first][0] > start or spans[last][1] < start + length:
        return 0, 0
    return inside[0], inside[-1]


TASKS = {
    "sequence_classification": SequenceTask,
    "sequence_regression": SequenceTask,
    "token_classification": TokenTask,
    "multiple_choice": ChoiceTask,
    "question_answering": AnswerTask,
}


def run(job: dict[str, Any], seed: int, tokenizer: Any) -> tuple[float, float]:
    rows = {
        split: [json.loads(line) for line in Path(job[split]).read_text().splitlines()]
        for split in ("train", "eval")
    }
    task = TASKS[job["task"]](job, rows["train"])
    model = task.model()
    start = time.perf_counter()
    train = task.encode(tokenizer, rows["train"], is_training=True)
    held_out = task.encode(tokenizer, rows["eval"], is_training=False)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=f"{job['output']}/transformers-{seed}",
            num_train_epochs=job["epochs"],
            per_device_train_batch_size=job["batch_size"],
            per_device_eval_batch_size=4 * job["batch_size"],
            learning_rate=job["learning_rate"],
            weight_decay=0.01,
            warmup_steps=0.1,
            adam_epsilon=1e-6,
            seed=seed,
            bf16=job["precision"] == "bf16",
            use_cpu=job["device"] == "cpu",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
        ),
        train_dataset=Records(train),
        data_collator=task.collator(tokenizer),
    )
    trainer.train()
    logits = trainer.predict(Records(held_out)).predictions
    figure = task.figure(logits, rows["eval"], held_out)
    return time.perf_counter() - start, figure


def main() -> None:
    job = json.loads(sys.argv[1])
    transformers.logging.set_verbosity_error()
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    torch.zeros(1, device=job["device"])
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    seconds, figures = [], []
    for seed in job["seeds"]:
        transformers.set_seed(seed)
        elapsed, figure = run(job, seed, tokenizer)
        seconds.append(elapsed)
        figures.append(figure)
    # `getrusage` has the memory of the process that began this one in it.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    if job["device"] != "cpu":
        peak = torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps({"seconds": seconds, "figures": figures, "peak_mib": peak}))


if __name__ == "__main__":
    main()

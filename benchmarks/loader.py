"""Tokens a second from shards to masked batches, on one core, beside Hugging Face's collator.

    python benchmarks/loader.py SHARDS [--seconds 10]

SHARDS is a folder made by `bertsmith prepare`. Each line of JSON on stdout is one measurement;
a core second is one of processor time, which other programs on the machine do not take part in;
tokens are those of examples, [CLS] and [SEP] counted and padding not. The collator gets rows of
equal length, made beforehand from the same shards and fetched with one slice of a `datasets`
table for each batch, which is the quickest way to feed it; it pads nothing and draws no pairs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import torch
from datasets import Dataset, disable_progress_bars
from transformers import BertTokenizerFast, DataCollatorForLanguageModeling

from bertsmith.data.loader import PretrainingBatches
from bertsmith.data.masking import Masking
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.data.wordpiece_ids import WordpieceIds

SEQUENCES_PER_BATCH = 64


def read_ids(shards: Path) -> WordpieceIds:
    pieces = (shards / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return WordpieceIds(
        pad_id=pieces.index("[PAD]"),
        cls_id=pieces.index("[CLS]"),
        sep_id=pieces.index("[SEP]"),
        mask_id=pieces.index("[MASK]"),
        is_continuation=np.array([piece.startswith("##") for piece in pieces]),
    )


def packed_batches(
    corpus: TokenizedCorpus, ids: WordpieceIds, max_seqlen: int, objective: str, whole_word: bool
) -> Iterator[int]:
    """Token counts of batches; planning is inside the measured time."""
    batches = PretrainingBatches(
        corpus,
        ids,
        max_seqlen=max_seqlen,
        budget_tokens=SEQUENCES_PER_BATCH * max_seqlen,
        seed=0,
        objective=objective,
        masking=Masking(whole_word=whole_word),
        prefetch_batches=0,
    )
    for loaded in batches.batches():
        yield int(torch.count_nonzero(loaded.batch.input_ids != ids.pad_id))


def collated_batches(
    corpus: TokenizedCorpus, ids: WordpieceIds, vocab: Path, max_seqlen: int
) -> Iterator[int]:
    text = np.concatenate([shard.wordpieces[: 1 << 22] for shard in corpus.shards])
    rows = text[: len(text) // (max_seqlen - 2) * (max_seqlen - 2)].reshape(-1, max_seqlen - 2)
    rows = np.pad(rows.astype(np.int64), ((0, 0), (1, 1)))
    rows[:, 0], rows[:, -1] = ids.cls_id, ids.sep_id
    special = np.zeros(rows.shape, np.int64)
    special[:, [0, -1]] = 1
    table = Dataset.from_dict({"input_ids": rows, "special_tokens_mask": special})
    table = table.shuffle(seed=0).flatten_indices().with_format("torch")
    collator = DataCollatorForLanguageModeling(BertTokenizerFast(str(vocab)))
    while True:
        for start in range(0, len(table) - SEQUENCES_PER_BATCH, SEQUENCES_PER_BATCH):
            columns = table[start : start + SEQUENCES_PER_BATCH]
            examples = [
                dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
            ]
            yield collator(examples)["input_ids"].numel()


def measure(name: str, batches: Iterator[int], max_seqlen: int, seconds: float) -> None:
    if not name.startswith("bertsmith"):
        next(batches)  # the rows are made first, outside the measured time
    wall, core = time.perf_counter(), time.process_time()
    count = 0
    for tokens in batches:
        count += tokens
        if time.perf_counter() - wall > seconds:
            break
    result = {
        "loader": name,
        "max_seqlen": max_seqlen,
        "tokens_per_core_second": round(count / (time.process_time() - core)),
        "tokens_per_second": round(count / (time.perf_counter() - wall)),
        "private_memory_mb": psutil.Process().memory_full_info().uss >> 20,
    }
    print(json.dumps(result), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()
    with contextlib.suppress(AttributeError):  # not on every system
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    disable_progress_bars()
    corpus, ids = TokenizedCorpus.open(args.shards), read_ids(args.shards)
    for max_seqlen in (128, 512):
        for objective, whole_word in (
            ("sentence_pairs", False),
            ("sentence_pairs", True),
            ("full_segments", False),
        ):
            name = f"bertsmith {objective}{' whole_word' if whole_word else ''}"
            batches = packed_batches(corpus, ids, max_seqlen, objective, whole_word)
            measure(name, batches, max_seqlen, args.seconds)
        batches = collated_batches(corpus, ids, args.shards / "vocab.txt", max_seqlen)
        measure("transformers collator", batches, max_seqlen, args.seconds)


if __name__ == "__main__":
    main()

"""How fast text becomes ids, on one core: the corpus path cold and warm beside the engine.

    python benchmarks/tokenization.py --vocab vocab.txt text.txt [--megabytes 50]

Cold: nothing remembered, as in the first seconds of `bertsmith prepare`. Fresh: the memory is warm
from the first half of the text and the second half is new. Warm: all of the text is remembered.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core each; read when the engine is imported

from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.tokenizer_files import read_tokenizer_files

SENTENCES_A_CALL = 5_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", help="a text file, one paragraph or sentence a line")
    parser.add_argument("--vocab", required=True)
    parser.add_argument("--megabytes", type=int, default=50, help="how much of the text to use")
    parser.add_argument("--engine-megabytes", type=int, default=5, help="for the slower rows")
    args = parser.parse_args()
    with Path(args.text).open(encoding="utf-8") as file:
        text = file.read(args.megabytes * 10**6)
    sentences = [part for line in text.split("\n") for part in line.split(". ") if part]
    half = len(sentences) // 2
    few = take(sentences, args.engine_megabytes * 10**6)
    tokenizer = Tokenizer.load(args.vocab)
    engine = read_tokenizer_files(Path(args.vocab)).engine
    google = Tokenizer.load(args.vocab, normalization="google")

    print(f"{size(sentences) / 1e6:.0f} MB, {len(sentences):,} sentences; one core")
    report("engine.encode", few, lambda part: [engine.encode(s).ids for s in part])
    report("engine.encode_batch", few, lambda part: [e.ids for e in engine.encode_batch(part)])
    report("encode_batch_fast", few, lambda part: [e.ids for e in engine.encode_batch_fast(part)])
    report("Tokenizer.encode_batch", few, tokenizer.encode_batch)
    report("google encode_batch", few, google.encode_batch)
    report("flat_ids, cold", sentences[:half], tokenizer.flat_ids)
    report("flat_ids, fresh", sentences[half:], tokenizer.flat_ids)
    report("flat_ids, warm", sentences[half:], tokenizer.flat_ids)
    report("ids_batch, warm", sentences[half:], tokenizer.ids_batch)
    report("google flat_ids, cold", sentences[:half], google.flat_ids)
    report("google flat_ids, fresh", sentences[half:], google.flat_ids)
    report("google flat_ids, warm", sentences[half:], google.flat_ids)


def report(name: str, sentences: list[str], run: Callable[[list[str]], object]) -> None:
    start = time.perf_counter()
    for at in range(0, len(sentences), SENTENCES_A_CALL):
        run(sentences[at : at + SENTENCES_A_CALL])
    seconds = time.perf_counter() - start
    print(f"{name:24} {size(sentences) / 1e6 / seconds:6.1f} MB/s")


def take(sentences: list[str], most: int) -> list[str]:
    total = 0
    for index, sentence in enumerate(sentences):
        total += len(sentence)
        if total > most:
            return sentences[:index]
    return sentences


def size(sentences: list[str]) -> int:
    return sum(len(sentence.encode()) for sentence in sentences)


if __name__ == "__main__":
    main()

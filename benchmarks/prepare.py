"""How fast text becomes training input: `prepare` beside `datasets.map` and Google's script.

    python benchmarks/prepare.py --text wiki.txt.xz --vocab vocab.txt [--megabytes 30]
        [--google CLONE_OF_GOOGLE_RESEARCH_BERT --google-python PYTHON_WITH_TENSORFLOW]

Any TensorFlow will do: the script gets its version 1 interface.

All read the same plain text on one core: `prepare` splits sentences, tokenizes them and writes
shards; `datasets.map` tokenizes its lines with the fast tokenizer of transformers and writes Arrow;
Google's create_pretraining_data.py (uncased) tokenizes, masks and writes records once. MB are of
UTF-8 text. The medians are of interleaved repeats; the CPU time tells what a busy machine hides.
"""

from __future__ import annotations

import os

os.environ["RAYON_NUM_THREADS"] = "1"  # before the tokenizers package is imported
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bertsmith.data.corpus import read_documents
from bertsmith.data.prepare import prepare
from bertsmith.text.tokenizer import Tokenizer

GOOGLE_PUBLISHED = 0.14  # MB/s a core, for when the script is not run here


def write_slice(source: str, target: Path, megabytes: float) -> float:
    """Copy whole documents up to a size; return the size in MB."""
    size = 0
    with target.open("wb") as file:
        for document in read_documents(source):
            size += file.write("\n".join([*document.lines, "", ""]).encode())
            if size >= megabytes * 1e6:
                break
    return size / 1e6


def run_prepare(text: Path, vocab: str, work: Path) -> None:
    prepare(text, Tokenizer.load(vocab), work / "shards", workers=1)


def run_datasets(text: Path, vocab: str, work: Path) -> None:
    import datasets
    from transformers import BertTokenizer

    datasets.disable_progress_bars()
    # In transformers 5 this is the fast tokenizer, the one of the tokenizers package.
    tokenizer = BertTokenizer(vocab=vocab)
    assert tokenizer.is_fast
    rows = datasets.load_dataset("text", data_files=str(text), cache_dir=str(work), split="train")
    rows.map(
        lambda batch: tokenizer(batch["text"], add_special_tokens=False),
        batched=True,
        remove_columns=["text"],
    )


def run_google(text: Path, vocab: str, work: Path, clone: str, python: str) -> None:
    script = Path(clone) / "create_pretraining_data.py"
    files = ["--input_file", text, "--vocab_file", vocab, "--output_file", work / "records"]
    options = ["--do_lower_case=True", "--dupe_factor=1", "--max_seq_length=128"]
    arguments = [str(argument) for argument in (script, *files, *options)]
    code = (
        "import runpy, sys, tensorflow.compat.v1 as tf; sys.modules['tensorflow'] = tf; "
        f"sys.argv = {arguments!r}; sys.path.insert(0, {clone!r}); "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    subprocess.run([python, "-c", code], check=True, capture_output=True)


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(run: Callable[[Path], None]) -> tuple[float, float]:
    """Wall and CPU seconds of one run in a fresh folder."""
    work = Path(tempfile.mkdtemp(prefix="prepare-"))
    wall, cpu = time.perf_counter(), cpu_seconds()
    try:
        run(work)
        return time.perf_counter() - wall, cpu_seconds() - cpu
    finally:
        shutil.rmtree(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", required=True)
    parser.add_argument("--vocab", required=True, help="an uncased vocab.txt")
    parser.add_argument("--megabytes", type=float, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--google", help="a clone of google-research/bert")
    parser.add_argument("--google-python", default=sys.executable, help="with tensorflow and six")
    args = parser.parse_args()

    folder = Path(tempfile.mkdtemp(prefix="prepare-text-"))
    text = folder / "slice.txt"
    megabytes = write_slice(args.text, text, args.megabytes)
    runs: dict[str, Callable[[Path], None]] = {
        "bertsmith prepare": lambda work: run_prepare(text, args.vocab, work),
        "datasets.map": lambda work: run_datasets(text, args.vocab, work),
    }
    if args.google:
        runs["create_pretraining_data.py"] = lambda work: run_google(
            text, args.vocab, work, args.google, args.google_python
        )
    # Imports are not what is measured.
    import datasets  # noqa: F401
    import transformers  # noqa: F401

    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(args.repeats):
        for name, run in runs.items():
            times[name].append(measure(run))
    shutil.rmtree(folder)

    print(f"{megabytes:.1f} MB of text, one core, median of {args.repeats}")
    print("| | MB/s | MB per CPU second |\n|---|---|---|")
    for name, pairs in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"| {name} | {megabytes / wall:.2f} | {megabytes / cpu:.2f} |")
    if not args.google:
        print(f"| create_pretraining_data.py (published, not run) | {GOOGLE_PUBLISHED} | |")


if __name__ == "__main__":
    main()

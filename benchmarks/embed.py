"""Texts a second, and cosine to float32: other people's ways to make vectors of texts, and ours.

    python benchmarks/embed.py TEXTS --model MINILM [--random-base] [--device cpu] [--count 200]
        [--length N] [--repeats 5] [--only ours] [--work DIR]

TEXTS is a file of texts of mixed lengths, a line each, also .xz. Every way reads the same ones, cut
where the model says, with weights that are the same: those of the folder, or with `--random-base`
drawn ones of a BERT-base under the folder's vocabulary, which cost the same as trained ones. With
`--length` (and `--random-base`) texts are joined until nearly each has N wordpieces, and cut there.

Each way runs in a process of its own, that waits while another works. They take turns, `--repeats`
times, so that what else the machine does falls on all of them; given are the best and the median.
On a machine with other work many turns of few texts find more quiet moments.
Graphs are made once, in `--work`, by `bertsmith export`; "direct" is their program as it is mostly
used: batches of 32 sorted by length, padded to the longest. What is not installed is left out by
name. On a GPU (`--device cuda`) the ways are those of PyTorch, and every turn has texts of its own,
so that none are remembered from the turn before.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import lzma
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Encode = Callable[[list[str]], Vectors]
BATCH = 32
SAMPLE = 150


def read_texts(path: Path, length: int | None) -> list[str]:
    with lzma.open(path, "rt") if path.suffix == ".xz" else path.open() as file:
        lines = [line.strip()[:4000] for line in file]
    lines = [line for line in lines if len(line) > 20]
    random.Random(0).shuffle(lines)
    return lines if length is None else list(joined(lines, 6 * length))


def joined(lines: list[str], characters: int) -> Iterator[str]:
    """Texts of at least so many characters, each of several lines."""
    text = ""
    for line in lines:
        text += f" {line}"
        if len(text) >= characters:
            yield text
            text = ""


def sorted_batches(texts: list[str]) -> Iterator[list[int]]:
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]


def pooled(hidden: Any, mask: Any) -> Any:
    """Mean over tokens, to length 1; arrays of numpy or tensors."""
    mask = mask[..., None]
    total = (hidden * mask).sum(1)
    return total / (total**2).sum(-1, keepdims=True) ** 0.5


def sentence_transformers(folder: str, settings: dict[str, Any], device: str = "cpu") -> Encode:
    from sentence_transformers import SentenceTransformer

    batch = settings.pop("batch", BATCH)
    model = SentenceTransformer(folder, device=device, **settings)
    return lambda texts: np.asarray(model.encode(texts, batch_size=batch), np.float32)


def transformers_torch(folder: str, device: str, dtype: str, batch: int = BATCH) -> Encode:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval().to(device)
    limit = max_length(folder)

    def encode(texts: list[str]) -> Vectors:
        found: list[Any] = [None] * len(texts)
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        with torch.inference_mode():
            for start in range(0, len(order), batch):
                places = order[start : start + batch]
                inputs = tokenizer(
                    [texts[place] for place in places],
                    padding=True,
                    truncation=True,
                    max_length=limit,
                    return_tensors="pt",
                ).to(device)
                hidden = model(**inputs).last_hidden_state.float()
                rows = pooled(hidden, inputs["attention_mask"])
                for place, row in zip(places, rows, strict=True):
                    found[place] = row
            return torch.stack(found).cpu().numpy()

    return encode


def max_length(folder: str) -> int:
    """Where sentence-transformers cuts texts of this folder."""
    from bertsmith.export.sentence_transformers import read_max_length

    return read_max_length(Path(folder)) or 512


def direct(folder: str, run: Callable[[dict[str, Any]], Any]) -> Encode:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    limit = max_length(folder)

    def encode(texts: list[str]) -> Vectors:
        found: list[Any] = [None] * len(texts)
        for places in sorted_batches(texts):
            inputs = tokenizer(
                [texts[place] for place in places],
                padding=True,
                truncation=True,
                max_length=limit,
                return_tensors="np",
            )
            rows = pooled(run(dict(inputs)), inputs["attention_mask"].astype(np.float32))
            for place, row in zip(places, rows, strict=True):
                found[place] = row
        return np.stack(found)

    return encode


def onnx_direct(folder: str, graph: str) -> Encode:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # nothing is reported
    import onnxruntime

    session = onnxruntime.InferenceSession(f"{graph}/model.onnx")
    names = {each.name for each in session.get_inputs()}

    def run(inputs: dict[str, Any]) -> Any:
        asked = {name: each.astype(np.int64) for name, each in inputs.items() if name in names}
        return session.run(["last_hidden_state"], asked)[0]

    return direct(folder, run)


def openvino_direct(folder: str, graph: str, hint: str | None) -> Encode:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # nothing is reported
    import openvino

    settings = {} if hint is None else {"INFERENCE_PRECISION_HINT": hint}
    model = openvino.Core().compile_model(f"{graph}/openvino_model.xml", "CPU", settings)
    return direct(folder, lambda inputs: model(inputs)["last_hidden_state"])


def ctranslate2(folder: str, compute_type: str) -> Encode:
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    with tempfile.TemporaryDirectory() as converted:
        TransformersConverter(folder).convert(converted, force=True)
        threads = os.cpu_count() or 1
        encoder = ctranslate2.Encoder(converted, compute_type=compute_type, intra_threads=threads)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    limit = max_length(folder)

    def encode(texts: list[str]) -> Vectors:
        found: list[Any] = [None] * len(texts)
        for places in sorted_batches(texts):
            batch = [texts[place] for place in places]
            ids = tokenizer(batch, truncation=True, max_length=limit)["input_ids"]
            view = encoder.forward_batch(ids).last_hidden_state
            hidden = np.asarray(view.to(ctranslate2.DataType.float32))
            lengths = np.array([len(each) for each in ids])
            mask = np.arange(hidden.shape[1]) < lengths[:, None]
            for place, row in zip(places, pooled(hidden, mask.astype(np.float32)), strict=True):
                found[place] = row
        return np.stack(found)

    return encode


def ours(folder: str, device: str, precision: str) -> Encode:
    from bertsmith.inference.embedder import Embedder

    return Embedder.load(folder, device=device, precision=precision).embed


def ways_on_cpu(
    folder: str, graphs: Path
) -> dict[str, tuple[Callable[..., Encode], tuple[Any, ...]]]:
    def st(**settings: Any) -> tuple[Callable[..., Encode], tuple[Any, ...]]:
        return sentence_transformers, (folder, settings)

    onnx, openvino = f"{graphs}/onnx", f"{graphs}/openvino"
    return {
        "sentence-transformers": st(),
        "sentence-transformers bf16": st(model_kwargs={"dtype": "bfloat16"}),
        "sentence-transformers onnx": st(backend="onnx"),
        "sentence-transformers openvino": st(backend="openvino"),
        "ctranslate2 fp32": (ctranslate2, (folder, "float32")),
        "ctranslate2 bf16": (ctranslate2, (folder, "bfloat16")),
        "ctranslate2 int8": (ctranslate2, (folder, "int8")),
        "onnx direct fp32": (onnx_direct, (folder, onnx)),
        "onnx direct int8": (onnx_direct, (folder, f"{onnx}-int8")),
        "openvino direct fp32": (openvino_direct, (folder, openvino, "f32")),
        "openvino direct bf16": (openvino_direct, (folder, openvino, "bf16")),
        "openvino direct int8": (openvino_direct, (folder, f"{openvino}-int8", None)),
        "ours, no options": (ours, (folder, "cpu", "auto")),
        "ours fp32": (ours, (folder, "cpu", "fp32")),
        "ours bf16": (ours, (folder, "cpu", "bf16")),
        "ours onnx fp32": (ours, (onnx, "cpu", "fp32")),
        "ours onnx int8": (ours, (f"{onnx}-int8", "cpu", "fp32")),
        "ours openvino fp32": (ours, (openvino, "cpu", "fp32")),
        "ours openvino bf16": (ours, (openvino, "cpu", "bf16")),
        "ours openvino int8": (ours, (f"{openvino}-int8", "cpu", "fp32")),
    }


def ways_on_gpu(
    folder: str, device: str
) -> dict[str, tuple[Callable[..., Encode], tuple[Any, ...]]]:
    found: dict[str, tuple[Callable[..., Encode], tuple[Any, ...]]] = {}
    for batch in (32, 128, 512):
        for dtype in ("float32", "bfloat16"):
            name = f"transformers {dtype}, batches of {batch}"
            found[name] = (transformers_torch, (folder, device, dtype, batch))
        settings = {"model_kwargs": {"dtype": "bfloat16"}, "batch": batch}
        name = f"sentence-transformers bf16, batches of {batch}"
        found[name] = (sentence_transformers, (folder, settings, device))
    for precision in ("fp32", "bf16", "auto"):
        found[f"ours {precision}"] = (ours, (folder, device, precision))
    return found


def work(
    connection: Connection,
    way: Callable[..., Encode],
    arguments: tuple[Any, ...],
    turns: list[list[str]],
) -> None:
    """Vectors of the first texts, then a time for each turn's number but 0, which ends it."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    # `kernels.py` beside this script is not the package that transformers looks for.
    sys.path = [
        each for each in sys.path if Path(each).resolve() != Path(__file__).resolve().parent
    ]
    try:
        with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
            encode = way(*arguments)
            connection.send(encode(turns[0]))
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}".splitlines()[0])
        return
    while turn := connection.recv():
        start = time.perf_counter()
        encode(turns[turn])
        connection.send(time.perf_counter() - start)


def export_all(folder: str, graphs: Path, texts: list[str]) -> None:
    sample = graphs / "calibration.jsonl"
    sample.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    for form in ("onnx", "openvino"):
        for int8 in (False, True):
            output = graphs / (f"{form}-int8" if int8 else form)
            if not output.exists():
                command = [sys.executable, "-m", "bertsmith", "export", form, "--model", folder]
                command += ["--output", str(output)]
                command += ["--int8", "--calibration", str(sample)] if int8 else []
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def random_base(folder: str, output: Path, length: int) -> str:
    import torch

    from bertsmith.config import BertConfig
    from bertsmith.export.model_folder import save_model
    from bertsmith.export.sentence_transformers import Pooling
    from bertsmith.tasks.model import BertForTasks
    from bertsmith.text.tokenizer import Tokenizer

    if not output.exists():
        torch.manual_seed(0)
        tokenizer = Tokenizer.load(folder).with_max_length(length)
        model = BertForTasks(BertConfig(vocab_size=tokenizer.vocab_size), [], with_pooler=True)
        save_model(output, model, tokenizer, pooling=Pooling("mean", normalize=True))
    return str(output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--random-base", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--length", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[""], help="parts of names")
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    directory = args.work or Path(tempfile.mkdtemp())
    directory.mkdir(parents=True, exist_ok=True)
    folder = args.model
    if args.random_base:
        folder = random_base(args.model, directory / f"base-{args.length}", args.length or 512)
    everything = read_texts(args.texts, args.length)
    sample, everything = everything[:SAMPLE], everything[SAMPLE:]
    count = args.count
    is_fresh = args.device != "cpu"
    if len(everything) < count * (1 + is_fresh * args.repeats):
        raise SystemExit(f"{args.texts} has only {len(everything)} texts")
    firsts = [is_fresh * count * turn for turn in range(1 + args.repeats)]
    turns = [everything[first : first + count] for first in firsts]
    graphs = directory / ("graphs-base" if args.random_base else "graphs")
    if args.device == "cpu":
        graphs.mkdir(exist_ok=True)
        ways = ways_on_cpu(folder, graphs)
    else:
        ways = ways_on_gpu(folder, args.device)
    ways = {k: v for k, v in ways.items() if any(part in k for part in args.only)}
    if any(str(graphs) in str(arguments) for _, arguments in ways.values()):
        export_all(folder, graphs, sample)
    context = multiprocessing.get_context("spawn")
    vectors: dict[str, Vectors] = {}
    running: dict[str, Connection] = {}
    started = {}
    for name, (way, arguments) in ways.items():
        here, there = context.Pipe()
        context.Process(target=work, args=(there, way, arguments, turns), daemon=True).start()
        if args.device == "cpu":
            here.poll(None)  # a few cores are no place for a dozen at once
        started[name] = here
    for name, here in started.items():
        answer = here.recv()
        if isinstance(answer, str):
            print(f"left out: {name}: {answer[:150]}", flush=True)
        else:
            vectors[name], running[name] = answer, here
    times: dict[str, list[float]] = {name: [] for name in running}
    for turn in range(1, 1 + args.repeats):
        for name, connection in running.items():
            connection.send(turn)
            times[name].append(connection.recv())
    from bertsmith.inference.embedder import Embedder

    exact = Embedder.load(folder, device=args.device, precision="fp32").embed(turns[0])
    print("| | texts/s, best | median | cosine to fp32, least | mean |\n|---|---|---|---|---|")
    for name, seconds in times.items():
        cosines = (vectors[name] * exact).sum(-1)
        best, median = (count / each for each in (min(seconds), statistics.median(seconds)))
        print(
            f"| {name} | {best:.1f} | {median:.1f} | {cosines.min():.5f} | {cosines.mean():.5f} |"
        )
    for connection in running.values():
        connection.send(0)


if __name__ == "__main__":
    main()

"""What a server costs: `bertsmith serve` under 1, 8 and 64 clients, beside the library itself.

    python benchmarks/serve.py MODEL --texts FILE [--count 2000] [--seconds 10] [--max-wait-ms 2]

Each client sends one text after the other, taken from the lines of the file, over a connection of
its own, and checks each answer against the library's for the same text, so that one which is lost
or belongs to somebody else is found. Clients run in a process of their own, on the same machine as
the server: they take part of its processors. The library has all texts at hand and computes them
with nothing else going on, in the server's precision, the fastest of the device.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import multiprocessing
import random
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

TOLERANCE = 1e-3


def read_texts(path: Path, count: int) -> list[str]:
    """Lines of mixed lengths, in an order of no meaning."""
    lines = [line.strip()[:2000] for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line]
    random.Random(0).shuffle(lines)
    return lines[:count]


def of_library(model: str, texts: list[str], is_predictor: bool) -> tuple[list[Any], float]:
    """Answers, and texts a second, of the second pass over them."""
    if is_predictor:
        from bertsmith.inference.predictor import Predictor

        predictor = Predictor.load(model, precision="auto")
        answers: list[Any] = list(predictor.predict(texts))
        start = time.perf_counter()
        list(predictor.predict(texts))
    else:
        from bertsmith.inference.embedder import Embedder

        embedder = Embedder.load(model, precision="auto")
        answers = list(embedder.vectors(texts))
        start = time.perf_counter()
        list(embedder.vectors(texts))
    return answers, len(texts) / (time.perf_counter() - start)


def is_same(answer: dict[str, Any], expected: Any) -> bool:
    if "data" in answer:
        vector = np.frombuffer(base64.b64decode(answer["data"][0]["embedding"]), "<f4")
        return bool(np.allclose(vector, expected, atol=TOLERANCE))
    found = answer["answers"][0]
    same = {k: v for k, v in found.items() if not isinstance(v, float | dict | list)}
    return all(expected[k] == v for k, v in same.items()) and bool(
        abs(found.get("probability", 0) - expected.get("probability", 0)) < TOLERANCE
    )


async def load(
    url: str, texts: list[str], expected: list[Any], clients: int, seconds: float, path: str
) -> tuple[int, int, list[float], float]:
    """Answers, wrong ones, seconds of each, and how long it all took."""
    delays: list[float] = []
    wrong = 0

    async def client(session: httpx2.AsyncClient, number: int, end: float) -> None:
        nonlocal wrong
        rng = random.Random(number)
        while time.perf_counter() < end:
            place = rng.randrange(len(texts))
            body = (
                {"records": [texts[place]]}
                if path == "/v1/predict"
                else {"input": texts[place], "encoding_format": "base64"}
            )
            start = time.perf_counter()
            answer = await session.post(path, json=body)
            delays.append(time.perf_counter() - start)
            if answer.status_code != 200 or not is_same(answer.json(), expected[place]):
                wrong += 1

    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits) as session:
        start = time.perf_counter()
        asked = [client(session, number, start + seconds) for number in range(clients)]
        await asyncio.gather(*asked)
        return len(delays), wrong, delays, time.perf_counter() - start


def in_process(queue: Any, *arguments: Any) -> None:
    queue.put(asyncio.run(load(*arguments)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--texts", type=Path, required=True, help="a text file, a text a line")
    parser.add_argument("--count", type=int, default=2000, help="different texts")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each number of clients")
    parser.add_argument("--max-wait-ms", default="2", help="of the server")
    args = parser.parse_args()
    texts = read_texts(args.texts, args.count)
    command = [sys.executable, "-m", "bertsmith", "serve", "--port", "0", "--model", args.model]
    command += ["--max-wait-ms", args.max_wait_ms]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        said = server.stderr.readline()
        found = re.search(r"http://\S+", said)
        if found is None:
            raise SystemExit(said.strip() or "the server has not started")
        url = found[0]
        card = httpx2.get(f"{url}/v1/models").json()["data"][0]
        path = "/v1/predict" if card["record"] else "/v1/embeddings"
        answers, library = of_library(args.model, texts, bool(card["record"]))
        print(f"{len(texts)} texts, {path}; the library: {library:.0f} texts/s\n")
        print("| clients | texts/s | of the library's | p50, ms | p99, ms | lost or mixed up |")
        print("|---|---|---|---|---|---|")
        for clients in (1, 8, 64):
            queue: Any = multiprocessing.Queue()
            arguments = (url, texts, answers, clients, args.seconds, path)
            process = multiprocessing.Process(target=in_process, args=(queue, *arguments))
            process.start()
            count, wrong, delays, took = queue.get()
            process.join()
            cuts = statistics.quantiles(delays, n=100)
            speed = count / took
            print(
                f"| {clients} | {speed:.0f} | {speed / library:.0%} | {cuts[49] * 1000:.1f} "
                f"| {cuts[98] * 1000:.1f} | {wrong} of {count} |"
            )
        sizes = httpx2.get(f"{url}/metrics").text.splitlines()
        totals = {
            line.partition("{")[0]: float(line.rpartition(" ")[2])
            for line in sizes
            if line.startswith(("bertsmith_batch_texts_sum", "bertsmith_batch_texts_count"))
        }
        mean = totals["bertsmith_batch_texts_sum"] / totals["bertsmith_batch_texts_count"]
        print(json.dumps({"mean_texts_of_a_batch": round(mean, 1)}), file=sys.stderr)
    finally:
        server.terminate()
        server.wait(60)


if __name__ == "__main__":
    main()

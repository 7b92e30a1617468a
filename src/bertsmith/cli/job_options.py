"""The options of verbs that do long work in parts, and what they show meanwhile."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith.cli.wording import counted

if TYPE_CHECKING:
    from bertsmith.data.parallel import OrderedMap
    from bertsmith.data.ray_parallel import RayCluster
    from bertsmith.data.record_source import RecordSource
    from bertsmith.inference.job import Answer, Job

# Threads of a process that computes: more gain less than more processes do.
_CPUS_OF_A_MODEL = 4


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Let `--engine ray` have the work done by a cluster."""
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: by the processes of the cluster of RAY_ADDRESS, or else of one that is started "
        "here; needs bertsmith[ray] (default: local)",
    )


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Let a job be begun anew, and be done by others."""
    parser.add_argument(
        "--restart",
        action="store_true",
        help="begin anew; otherwise the same command goes on where it was interrupted",
    )
    add_engine(parser)
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="of --engine ray: processes that hold the model (default: one for each GPU of the "
        "cluster, or else for 4 CPUs)",
    )


@contextlib.contextmanager
def talking_cluster(workers: int | None = None) -> Iterator[RayCluster]:
    """As `ray_cluster`; what Ray says of killed workers goes to stderr, not among the data."""
    from bertsmith.data.ray_parallel import ray_cluster

    with contextlib.redirect_stdout(sys.stderr), ray_cluster(workers) as cluster:
        yield cluster


@dataclass(frozen=True)
class Workers:
    """Who answers parts."""

    mapped: OrderedMap
    count: int
    device: str
    is_remote: bool


@contextlib.contextmanager
def workers_for_models(engine: str, asked: int | None, device: str | None) -> Iterator[Workers]:
    """This process, or those of a cluster: with a GPU each where there are any, else a few CPUs.

    Raises:
        ConfigError: the cluster or the device is none.
    """
    from bertsmith.data.parallel import ordered_map
    from bertsmith.errors import ConfigError

    if engine == "local":
        from bertsmith.training.parallelize import choose_device, limit_host_threads

        if asked is not None:
            raise ConfigError(
                "--workers is for --engine ray; one process uses all cores for its model"
            )
        chosen = choose_device(device)
        limit_host_threads(chosen)
        yield Workers(ordered_map, 1, chosen.type, is_remote=False)
        return
    with talking_cluster() as cluster:
        device = (device or ("cuda" if cluster.has_gpus else "cpu")).partition(":")[0]
        gpus = 0 if device == "cpu" else 1
        cpus = 1 if gpus else cluster.cpus_of_each(_CPUS_OF_A_MODEL, asked)
        mapped = functools.partial(cluster.ordered_map, cpus=cpus, gpus=gpus)
        count = cluster.num_workers(asked, cpus=cpus, gpus=gpus)
        yield Workers(mapped, count, device, is_remote=True)


def run_job(
    job: Job,
    source: RecordSource,
    make: Callable[[], Answer],
    workers: Workers,
    batch_tokens: int,
) -> int:
    """Run it with a bar, say what is left when it is interrupted, and return the records.

    Args:
        job: not yet entered.
        source: where the records come from.
        make: makes what answers a part.
        workers: who does.
        batch_tokens: what they compute at once.
    """
    from bertsmith.data.answered_in_order import WINDOW_BATCHES
    from bertsmith.data.record_parts import BytesRead, RecordParts

    # A part is at least a window of batches, in which examples are sorted by length; a wordpiece is
    # about four characters.
    characters = 4 * WINDOW_BATCHES * batch_tokens
    with contextlib.closing(BytesRead()) as bytes_read, job:
        records = RecordParts(source.read("test", on_open=bytes_read.on_open), bytes_read)
        if job.progress.records:
            _say(
                f"going on after the {counted(job.progress.records, 'record')} in {job.unfinished}"
            )
        try:
            with _bar(job, source) as on_progress:
                return job.run(
                    records,
                    make,
                    characters=characters,
                    mapped=workers.mapped,
                    workers=workers.count,
                    on_progress=on_progress,
                )
        except BaseException:
            if job.unfinished.exists() and job.progress.records and job.can_continue:
                _say(
                    f"{counted(job.progress.records, 'record')} done in {job.unfinished}; the same "
                    "command goes on after them"
                )
            raise


@contextlib.contextmanager
def _bar(job: Job, source: RecordSource) -> Iterator[Callable[[], None]]:
    """Bytes of the input, which tell how long it will take, or else records."""
    from tqdm import tqdm

    from bertsmith.data.compression import file_kind

    file = source.file("test")
    # A JSON document is read to its end before the first of its records is there.
    is_gradual = file is not None and file_kind(file)[0] != ".json"
    total = file.stat().st_size if file is not None and is_gradual else None
    settings: dict[str, Any] = {"mininterval": 0.5 if sys.stderr.isatty() else 30}
    settings |= (
        {"unit": "record", "initial": job.progress.records}
        if total is None
        else {"total": total, "unit": "B", "unit_scale": True, "initial": job.progress.bytes_read}
    )
    with tqdm(desc=Path(job.output).name, **settings) as bar:

        def on_progress() -> None:
            if total is not None:
                bar.set_postfix_str(counted(job.progress.records, "record"), refresh=False)
                bar.update(job.progress.bytes_read - bar.n)
            else:
                bar.update(job.progress.records - bar.n)

        yield on_progress


def model_path(model: str) -> str:
    """A model's path for the processes of other machines, which have another working folder."""
    return str(Path(model).absolute()) if Path(model).exists() else model


def _say(line: str) -> None:
    print(line, file=sys.stderr)

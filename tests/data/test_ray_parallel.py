"""A cluster gives what one process gives, in order, whatever becomes of its workers."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bertsmith.data import ray_parallel
from bertsmith.data.ray_parallel import RayCluster, ray_cluster
from bertsmith.errors import ConfigError, DataError

# What a worker runs must be in a module that it can import.
FRAGILE = """
import os, signal, time
from pathlib import Path
from bertsmith.errors import DataError

class Fragile:
    def __init__(self, folder):
        self.folder = Path(folder)

    def __call__(self, item):
        if item == -1:
            raise DataError("-1 is bad")
        if item == -2:
            os.kill(os.getpid(), signal.SIGKILL)
        if item % 5 == 0:
            mark = self.folder / str(item)
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02 * (item % 3))
        return 2 * item, os.getpid()
"""


def cluster_of(*nodes: tuple[int, int]) -> RayCluster:
    listed = [{"Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}} for cpus, gpus in nodes]
    gone = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
    head = {"Alive": True, "Resources": {"memory": 1.0}}
    return RayCluster(SimpleNamespace(nodes=lambda: [*listed, gone, head]))


def test_workers_are_as_many_as_there_is_room_for() -> None:
    cluster = cluster_of((16, 0), (6, 0))
    assert not cluster.has_gpus
    assert cluster.num_workers(None) == 22
    assert cluster.num_workers(None, cpus=4) == 5
    assert cluster.num_workers(3, cpus=4) == 3
    assert cluster_of((16, 4), (16, 1)).num_workers(None, gpus=1) == 5
    assert cluster_of((2, 4)).num_workers(None, gpus=1) == 2


def test_workers_have_as_many_cpus_as_there_are_for_them() -> None:
    cluster = cluster_of((6, 0), (3, 0))
    assert [cluster.cpus_of_each(4, count) for count in (None, 1, 2, 3, 4, 9)] == [4, 4, 3, 3, 2, 1]
    assert cluster_of((2, 0)).cpus_of_each(4) == 2


@pytest.mark.parametrize(
    ("nodes", "asked", "gpus", "message"),
    [
        ([(2, 0)], 3, 0, "the cluster's CPUs are enough for 2 workers and 3 are wanted; ask for"),
        ([(2, 0)], None, 1, "the cluster's GPUs are enough for 0 workers and 1 are wanted; ask f"),
        ([(2, 0)], 0, 0, "the number of workers (0) must be at least 1"),
    ],
)
def test_what_there_is_no_room_for_is_one_sentence(
    nodes: list[tuple[int, int]], asked: int | None, gpus: int, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        cluster_of(*nodes).num_workers(asked, gpus=gpus)
    assert str(error.value).startswith(message)


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with (
        pytest.raises(ConfigError, match=r"needs the package ray; `pip install 'bertsmith\[ray\]'"),
        ray_cluster(),
    ):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nowhere.invalid:6379"])
def test_an_address_where_nobody_is_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with (
        pytest.raises(
            ConfigError, match=rf"RAY_ADDRESS \({address}\) cannot be reached: .*; start"
        ),
        ray_cluster(),
    ):
        pass


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """One for all tests, since starting it takes seconds."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "fragile.py").write_text(FRAGILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        patch.syspath_prepend(folder)
        patch.setattr(ray_parallel, "_STORE_BYTES", 100_000_000)
        patch.setattr(ray_parallel, "_STORE_BYTES_PER_WORKER", 50_000_000)
        before = signal.getsignal(signal.SIGTERM)
        with ray_cluster(2) as cluster:
            assert signal.getsignal(signal.SIGTERM) == before
            yield cluster
        sys.modules.pop("fragile", None)


@pytest.fixture
def make(cluster: RayCluster, tmp_path: Path) -> Any:
    return functools.partial(importlib.import_module("fragile").Fragile, str(tmp_path))


@pytest.mark.slow
def test_results_come_in_order_and_those_of_killed_workers_are_made_again(
    cluster: RayCluster, make: Any, tmp_path: Path
) -> None:
    assert cluster.num_workers(None) == 2
    items = list(range(1, 31))
    results = list(cluster.ordered_map(make, items, 2))
    assert [(item, double) for item, (double, _) in results] == [(i, 2 * i) for i in items]
    # Each of these has killed a worker.
    assert {int(path.name) for path in tmp_path.iterdir()} == {5, 10, 15, 20, 25, 30}
    assert len({process for _, (_, process) in results}) > 2
    assert os.getpid() not in {process for _, (_, process) in results}


@pytest.mark.slow
def test_items_are_read_no_further_ahead_than_the_workers_need(
    cluster: RayCluster, make: Any
) -> None:
    read: list[int] = []
    items = (read.append(i) or i for i in range(1, 2000, 5))
    results = cluster.ordered_map(make, items, 2)
    next(results)
    assert len(read) == 5
    results.close()


@pytest.mark.slow
def test_an_error_in_a_worker_is_raised_here(cluster: RayCluster, make: Any) -> None:
    results = cluster.ordered_map(make, [12, -1, 14], 1)
    assert next(results)[1][0] == 24
    with pytest.raises(DataError, match=r"^-1 is bad$"):
        next(results)


@pytest.mark.slow
def test_what_comes_before_an_item_that_cannot_be_had_is_given(
    cluster: RayCluster, make: Any
) -> None:
    def items() -> Iterator[int]:
        yield from (11, 12, 13)
        raise DataError("the fourth is bad")

    results = cluster.ordered_map(make, items(), 2)
    assert [next(results)[0] for _ in range(3)] == [11, 12, 13]
    with pytest.raises(DataError, match="the fourth is bad"):
        next(results)


@pytest.mark.slow
def test_an_item_that_kills_every_worker_is_one_sentence(cluster: RayCluster, make: Any) -> None:
    with pytest.raises(
        DataError, match=r"^4 workers were killed at the same part, which is mostly"
    ):
        list(cluster.ordered_map(make, [-2, 18], 2))


@pytest.mark.slow
def test_nothing_is_reported_and_nobody_else_can_connect(cluster: RayCluster) -> None:
    import ray
    from ray._common.usage import usage_lib

    assert not usage_lib.usage_stats_enabled()
    assert not ray._private.worker.global_worker.node.webui_url
    address = ray.get_runtime_context().gcs_address
    assert address.startswith("127.0.0.1:")
    stranger = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": ""}
    call = [sys.executable, "-c", f"import ray; ray.init({address!r})"]
    done = subprocess.run(call, env=stranger, capture_output=True, text=True, check=False)
    assert "Failed to connect to Ray cluster" in done.stderr

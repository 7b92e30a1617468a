"""A model on several tasks: a grid with one seed, the best of it with more, and results of all."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.training.mood_runs import write_start

from bertsmith.cli.main import main
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.export.model_folder import load_model, load_pretrained
from bertsmith.training.benchmark import read_benchmark
from bertsmith.training.benchmark_runs import BenchmarkRun, run_benchmark, task_result
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import Finetuned, finetune

Capture = pytest.CaptureFixture[str]
BENCHMARK = """
seeds = 2
[all]
train = {{ batch_size = 8, steps = {steps}, num_threads = 1, precision = "fp32", device = "cpu" }}
data.max_seqlen = 12
task.name = "sequence_classification"
[grid]
optimizer.learning_rate = [3e-3, 1e-5]
[tasks.moods]
data.train = "train.tsv"
data.eval = "dev.tsv"
[tasks.reversed]
data.train = "dev.tsv"
data.eval = "train.tsv"
grid.optimizer.learning_rate = [1e-5]
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_start(tmp_path_factory.mktemp("benchmark"))
    (folder / "tasks.toml").write_text(BENCHMARK.format(steps=30))
    return folder


def command(start: Path, output: Path, *more: str) -> list[str]:
    given = ["--model", str(start / "model"), "--data", str(start), "--output", str(output)]
    return ["benchmark", str(start / "tasks.toml"), *given, *more]


def started(start: Path, output: Path) -> subprocess.Popen[str]:
    """Two workers whose runs go on for long."""
    more = ["--workers", "2", "train.steps=1000000"]
    return subprocess.Popen(
        [sys.executable, "-m", "bertsmith", *command(start, output, *more)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def num_training(output: Path) -> int:
    """Runs that have done a step."""
    return sum(path.stat().st_size > 0 for path in output.rglob("metrics.jsonl"))


def test_the_best_of_the_grid_is_run_with_the_other_seeds(start: Path, tmp_path: Path) -> None:
    benchmark = read_benchmark(
        start / "tasks.toml", model=start / "model", data=start, output=tmp_path
    )
    ended: list[BenchmarkRun] = []
    results = run_benchmark(benchmark, on_ended=ended.append).results
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(json.dumps(results))
    assert [(run.task, run.settings, run.seed) for run in ended] == [
        ("moods", {"optimizer.learning_rate": 3e-3}, 12345),
        ("moods", {"optimizer.learning_rate": 1e-5}, 12345),
        ("reversed", {"optimizer.learning_rate": 1e-5}, 12345),
        ("moods", {"optimizer.learning_rate": 3e-3}, 12346),
        ("reversed", {"optimizer.learning_rate": 1e-5}, 12346),
    ]
    moods = results["tasks"]["moods"]
    assert moods["figure"] == "accuracy"
    assert moods["settings"] == {"optimizer.learning_rate": 3e-3}
    values = [run["figures"]["accuracy"] for run in moods["seeds"]]
    assert len(values) == 2
    assert moods["mean"] == pytest.approx(statistics.fmean(values))
    assert moods["std"] == pytest.approx(statistics.stdev(values))
    assert (moods["min"], moods["max"]) == (min(values), max(values))
    assert moods["mean"] > results["tasks"]["moods"]["grid"][1]["figures"]["accuracy"]
    assert (moods["num_train"], moods["num_eval"]) == (18, 6)
    assert moods["recipe"]["train"]["steps"] == 30
    assert moods["recipe"]["optimizer"]["name"] == "bert_adam"
    assert "learning_rate" not in moods["recipe"]["optimizer"]
    assert str(tmp_path) not in json.dumps(results)
    assert str(start) not in json.dumps(results)
    assert results["model"] == "model"
    assert not results["random_weights"]
    # Of each run there is its result, and no model.
    assert {path.name for path in (tmp_path / "moods").iterdir()} == {
        f"trial-{trial:03}-seed-{seed}.json" for trial, seed in [(1, 12345), (2, 12345), (1, 12346)]
    }


def test_what_has_ended_is_not_run_again(
    start: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(command(start, tmp_path, "--tasks", "moods", "train.steps=4")) == 0
    before = capsys.readouterr().out
    settings = json.loads(before)["settings"]
    trial = 1 if settings["optimizer.learning_rate"] == 3e-3 else 2
    lost = tmp_path / "moods" / f"trial-{trial:03}-seed-12346.json"
    lost.unlink()
    ran: list[int] = []

    def counted(recipe: FinetuneRecipe) -> Finetuned:
        ran.append(recipe.train.seed)
        return finetune(recipe)

    monkeypatch.setattr("bertsmith.training.benchmark_runs.finetune", counted)
    assert main(command(start, tmp_path, "--tasks", "moods", "train.steps=4")) == 0
    after = capsys.readouterr().out
    assert {**json.loads(before), "seconds": 0} == {**json.loads(after), "seconds": 0}
    assert ran == [12346]
    # Runs with other settings are not taken for these.
    assert main(command(start, tmp_path, "--tasks", "moods", "train.steps=5")) == 2
    assert "is of a run with other settings; choose another folder" in capsys.readouterr().err
    lost.write_text("{")
    assert main(command(start, tmp_path, "--tasks", "moods", "train.steps=4")) == 2
    assert "is damaged or of another version; remove it" in capsys.readouterr().err


def test_the_results_of_other_tasks_stay_in_the_file(
    start: Path, tmp_path: Path, capsys: Capture
) -> None:
    settings = ["--seeds", "1", "train.steps=2"]
    assert main(command(start, tmp_path, "--tasks", "reversed", *settings)) == 0
    before = json.loads((tmp_path / "results.json").read_text())["tasks"]
    capsys.readouterr()
    assert main(command(start, tmp_path, "--tasks", "moods, moods", *settings)) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["task"] == "moods"  # that line alone
    assert captured.err.splitlines()[0] == "1 task: 2 trials, then 0 runs with other seeds"
    after = json.loads((tmp_path / "results.json").read_text())["tasks"]
    assert set(after) == {"moods", "reversed"}
    assert after["reversed"] == before["reversed"]
    # Two models in one file would be taken for one.
    contents = json.loads((tmp_path / "results.json").read_text())
    for change in ({"random_weights": True}, {"num_parameters": 1}):
        (tmp_path / "results.json").write_text(json.dumps(contents | change))
        assert main(command(start, tmp_path, "--tasks", "moods", *settings)) == 2
        assert "results.json has reversed of another model (model" in capsys.readouterr().err
    for damaged in ("{", "[]", json.dumps(contents | {"tasks": {"reversed": 1}})):
        (tmp_path / "results.json").write_text(damaged)
        assert main(command(start, tmp_path, "--tasks", "moods", *settings)) == 2
        err = capsys.readouterr().err
        assert "results.json is damaged or of another version; remove it" in err
        assert err.count("\n") == 2


@pytest.mark.parametrize(
    "override",
    ["train.output=x", "model.init = x", "model.init=[x, y]", "train={output = 'x'}"],
)
def test_what_the_benchmark_decides_cannot_be_set(
    start: Path, tmp_path: Path, capsys: Capture, override: str
) -> None:
    assert main(command(start, tmp_path / "out", override)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be set here, since a benchmark's --" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("line", ["[all]\nmodel.init = 'x'", "[grid]\ntrain.output = ['x']"])
def test_nor_can_it_in_the_file(start: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / "tasks.toml").write_text(f"{line}\n[tasks.a]\n")
    with pytest.raises(ConfigError, match=r"cannot be set here.*; remove it from (all|grid) in"):
        read_benchmark(tmp_path / "tasks.toml", model="m", data=start, output=tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_runs_is_one_sentence(
    start: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(
        "bertsmith.training.benchmark_runs.finetune", lambda _: signal.raise_signal(number)
    )
    assert main(command(start, tmp_path)) == 128 + number
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "stopped; the same command goes on with what is left"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_workers_without_a_word(start: Path, tmp_path: Path, number: int) -> None:
    with started(start, tmp_path) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("2 tasks: 3 trials")
        while process.poll() is None and not any(tmp_path.rglob("*.log")):
            time.sleep(0.05)  # a run begins
        os.killpg(process.pid, number)  # as Ctrl-C does, and `timeout`
        rest = process.stderr.read()
    assert rest == "stopped; the same command goes on with what is left\n"
    assert process.returncode == 128 + number


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_workers_that_were_stopped_begin_nothing_more(start: Path, tmp_path: Path) -> None:
    with started(start, tmp_path) as process:
        try:
            while process.poll() is None and num_training(tmp_path) < 2:
                time.sleep(0.05)  # a third run waits for one of them
            process.terminate()  # this process alone, as a service manager may
            _, said = process.communicate(timeout=120)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert said.endswith("stopped; the same command goes on with what is left\n")
    assert process.returncode == 128 + signal.SIGTERM


def test_an_error_in_a_run_names_its_task(start: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "train.tsv").write_text("text\tmood\na film\tgood\n")
    (tmp_path / "dev.tsv").write_text((start / "dev.tsv").read_text())
    arguments = command(start, tmp_path / "out", "--tasks", "moods")
    arguments[arguments.index("--data") + 1] = str(tmp_path)
    assert main(arguments) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"bertsmith: tasks.moods: {tmp_path / 'train.tsv'}")


@pytest.mark.slow
def test_several_processes_give_the_same(start: Path, tmp_path: Path, capsys: Capture) -> None:
    # One seed: each further phase would start the processes anew.
    settings = ["--tasks", "moods", "--seeds", "1", "train.steps=2"]
    assert main(command(start, tmp_path / "one", *settings)) == 0
    alone = json.loads(capsys.readouterr().out)
    assert main(command(start, tmp_path / "two", *settings, "--workers", "2")) == 0
    captured = capsys.readouterr()
    together = json.loads(captured.out)
    assert {**alone, "seconds": 0} == {**together, "seconds": 0}
    assert "held-out" not in captured.err  # what the runs themselves say
    assert captured.err.splitlines()[0] == "1 task: 2 trials, then 0 runs with other seeds"


def test_the_twin_has_random_weights_and_the_models_sizes(start: Path, tmp_path: Path) -> None:
    settings = ["--tasks", "reversed", "--random-weights", "--seeds", "1", "train.steps=2"]
    assert main(command(start, tmp_path, *settings)) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["random_weights"]
    assert results["model"] == "model"
    twin = load_pretrained(tmp_path / "random-weights", []).model.bert
    model = load_model(start / "model").model.bert
    assert twin.config == model.config
    ours = dict(model.named_parameters())
    for name, parameter in twin.named_parameters():
        assert parameter.shape == ours[name].shape
        if parameter.ndim == 2:
            assert not torch.equal(parameter, ours[name]), name
    assert load_model(tmp_path / "random-weights").tokenizer.vocab_size == model.config.vocab_size


def test_settings_of_the_command_count_before_those_of_the_file(
    start: Path, tmp_path: Path
) -> None:
    def read(*overrides: str) -> list[dict[str, object]]:
        benchmark = read_benchmark(
            start / "tasks.toml",
            model=start / "model",
            data=start,
            output=tmp_path,
            names=["moods"],
            overrides=overrides,
        )
        (task,) = benchmark.tasks
        rates = {task.recipe.optimizer.learning_rate}
        return [point or {"fixed": rates} for point in task.points()]

    assert read("optimizer.learning_rate=0.5") == [{"fixed": {0.5}}]
    assert read("optimizer.learning_rate=[0.1, 0.2]") == [
        {"optimizer.learning_rate": 0.1},
        {"optimizer.learning_rate": 0.2},
    ]
    assert read("train.batch_size=[4, 8]") == [
        {"optimizer.learning_rate": rate, "train.batch_size": size}
        for rate in (3e-3, 1e-5)
        for size in (4, 8)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tests = 1\n", "tests is not one of seeds, all, grid, tasks"),
        ("seeds = 0\n", r"seeds \(0\) must be a whole number of at least 1"),
        ("seeds = true\n", r"seeds \(True\) must be"),
        ("tasks = 1\n", r"tasks \(1\) must be a section of settings"),
        ("[tasks]\na = 1\n", r"tasks\.a \(1\) must be a section of settings"),
        ("seeds = 1\n", "no task is not a task of"),
        ("[tasks.a]\ndata.name = 'glue:sst3'\n", "tasks.a: data.name: 'glue:sst3' is not the name"),
        ("[tasks.a]\ndata.name = 'glue:mnli'\n", "tasks.a: .*dev_matched"),
        (
            "[tasks.a]\ntask.name = 'sequence_classification'\ndata.train = 'train.tsv'\n",
            "tasks.a: data.eval is not set; there is nothing to measure on",
        ),
        (
            "[tasks.a]\ntask.name = 'sequence_classification'\n"
            "data = { train = 'train.tsv', eval = 'def.tsv' }\n",
            r"tasks.a: .*def\.tsv does not exist; --data names the folder",
        ),
        (
            "[tasks.a]\ntask.name = 'sequence_classification'\n"
            "data = { train = 'train.tsv', eval = 'dev.tsv' }\ngrid.train.epochs = 3\n",
            r"tasks.a: train.epochs \(3\) must be a list of values to try",
        ),
        (
            "[tasks.a]\ntask.name = 'sequence_classification'\n"
            "data = { train = 'train.tsv', eval = 'dev.tsv' }\ngrid.train.epoch = [3]\n",
            r"tasks.a: train.epoch is not a setting; did you mean train.epochs\?",
        ),
        ("[tasks.a]\ngrid = 3\n", r"tasks.a: grid \(3\) must be a section of settings"),
        ("[tasks.a]\ntask = 'x'\n", r"tasks.a: task \('x'\) must be a section of settings"),
    ],
)
def test_a_benchmark_that_cannot_be_is_refused_at_once(
    start: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "tasks.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_benchmark(
            tmp_path / "tasks.toml", model=start / "model", data=start, output=tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_tasks_and_workers_that_are_none_are_refused(
    start: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert main(command(start, tmp_path, "--tasks", "moods,mood")) == 2
    assert "mood is not a task of" in capsys.readouterr().err
    assert main(command(start, tmp_path, "--tasks", ", ")) == 2
    assert "--tasks (', ') must be names with commas" in capsys.readouterr().err
    assert main(command(start, tmp_path, "--model", str(tmp_path / "none"))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bertsmith: {tmp_path / 'none'}")
    assert main(command(start, tmp_path, "train.seed=[1, 2]")) == 2
    assert "tasks.moods: train.seed cannot be varied" in capsys.readouterr().err
    assert main(command(start, tmp_path, "--seeds", "0")) == 2
    assert "seeds (0) must be a whole number" in capsys.readouterr().err
    assert main(command(start, tmp_path, "--workers", "0")) == 2
    assert "--workers (0) must be at least 1" in capsys.readouterr().err
    benchmark = read_benchmark(
        start / "tasks.toml",
        model=tmp_path,
        data=start,
        output=tmp_path / "out",
        random_weights=True,
    )
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        run_benchmark(benchmark)


def test_runs_without_a_model_do_not_count_and_are_named() -> None:
    def run(seed: int, accuracy: float | None, problem: str | None = None) -> BenchmarkRun:
        figures = {} if accuracy is None else {"accuracy": accuracy, "loss": 1.0}
        return BenchmarkRun(
            task="moods",
            trial=1,
            settings={},
            seed=seed,
            figure="accuracy",
            figures=figures,
            problem=problem,
            seconds=2.0,
        )

    runs = [run(1, 0.5), run(2, None, "diverged"), run(3, 0.7, "one answer for everything")]
    found = task_result("moods", runs[:1], runs)
    assert found["mean"] == pytest.approx(0.6)
    assert [each["problem"] for each in found["seeds"]] == [
        None,
        "diverged",
        "one answer for everything",
    ]
    assert found["seconds"] == 6.0
    assert task_result("moods", [], [run(1, None, "diverged")])["mean"] is None

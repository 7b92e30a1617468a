"""Imports point one way, and heavy packages are read only where they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bertsmith

ROOT = Path(bertsmith.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# A package may import itself and what stands to its right in any of its rows.
ORDER = (
    (
        "cli",
        "comparison",
        "demo",
        "serving",
        "inference",
        "training",
        "export",
        "tasks",
        "metrics",
        "model",
        "ops",
    ),
    (
        "cli",
        "comparison",
        "demo",
        "serving",
        "inference",
        "training",
        "export",
        "tasks",
        "metrics",
        "data",
        "text",
    ),
)
FOUNDATIONS = {"annotations", "atomic", "batch", "config", "cores", "errors", "version"}
# Only these packages of ours may import these of others.
CONFINED = {
    "torch.distributed": {"training"},
    "transformers": set(),
    "tensorflow": set(),
    "nncf": {"export"},
    "onnx": {"export"},
    "onnxruntime": {"export"},
    "onnxscript": {"export"},
    "openvino": {"export"},
    "tokenizers": {"text"},
    "sentencex": {"data"},
    "datasets": {"data"},
    "gensim": {"demo"},
    "ray": {"data"},
    "scipy": {"metrics"},
    "sklearn": {"metrics"},
    "matplotlib": {"comparison", "training"},
    "jinja2": {"training"},
    "triton": {"ops"},
    "fastapi": {"serving"},
    "prometheus_client": {"serving"},
    "pydantic": {"serving"},
    "starlette": {"serving"},
    "uvicorn": {"serving"},
    "pickle": set(),
}


def name_of(path: Path) -> str:
    """`text` for text/tokenizer.py, `batch` for batch.py."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def allowed(importer: str) -> set[str]:
    if importer in FOUNDATIONS:
        return {"errors", "config"}
    found = {importer} | FOUNDATIONS
    for row in ORDER:
        if importer in row:
            found |= set(row[row.index(importer) :])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_towards_the_text(path: Path) -> None:
    importer = name_of(path)
    if importer in ("__init__", "__main__"):
        return
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "bertsmith":
            assert parts[1] in allowed(importer), f"{importer} must not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_others_packages_stay_where_they_belong(path: Path) -> None:
    for name in imports_of(path):
        for package, homes in CONFINED.items():
            if name == package or name.startswith(f"{package}."):
                assert name_of(path) in homes, f"{path} must not import {name}"


def test_every_package_has_its_place_in_the_order() -> None:
    known = FOUNDATIONS | {name for row in ORDER for name in row} | {"__init__", "__main__"}
    assert {name_of(path) for path in MODULES} <= known


@pytest.mark.parametrize(
    "module",
    [
        "bertsmith",
        "bertsmith.cli.main",
        "bertsmith.config",
        "bertsmith.text.tokenizer",
        "bertsmith.text.trainer",
        "bertsmith.data.prepare",
    ],
)
def test_torch_is_not_imported_by(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_needs_no_torch() -> None:
    code = (
        "import sys, bertsmith.cli.main as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0
    for verb in ("vocab", "prepare", "pretrain", "finetune", "predict", "demo"):
        assert verb in done.stdout.decode()


def test_public_names_are_sorted_and_there() -> None:
    assert bertsmith.__all__ == sorted(bertsmith.__all__)
    for name in bertsmith.__all__:
        assert getattr(bertsmith, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = bertsmith.nothing

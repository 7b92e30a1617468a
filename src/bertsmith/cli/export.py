"""`bertsmith export`: a model for ONNX Runtime or OpenVINO."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bertsmith.cli.layout_settings import add_layout_settings, read_source
from bertsmith.cli.wording import counted

if TYPE_CHECKING:
    from bertsmith.inference.checked_export import Check

HELP = "write a model for ONNX Runtime or OpenVINO, checked against the model itself"
EXAMPLES = """examples:
  bertsmith export onnx --model runs/sst2 --output sst2-onnx --check dev.tsv
      predict, embed, fill-mask, serve and evaluate open the folder; model.onnx works elsewhere too
  bertsmith export openvino --model all-MiniLM-L6-v2 --output minilm-int8 --int8 \\
      --calibration texts.txt
      in 8-bit integers, for texts like these: the fastest on most processors; docs/export.md"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("format", choices=("onnx", "openvino"), help="whose graph to write")
    parser.add_argument("--model", required=True, metavar="DIR", help="a model of any kind")
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--int8",
        action="store_true",
        help="8-bit integers in place of float32; a little less exact",
    )
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        help="with --int8: a few hundred records such as the model will read",
    )
    parser.add_argument(
        "--check",
        metavar="FILE",
        help="records to compare on, with labels for the task's figure (default: a fifth of "
        "--calibration, else sequences of random wordpieces in all lengths)",
    )
    add_layout_settings(parser, named=True)


def run(args: argparse.Namespace) -> None:
    """Write the folder and say how it compares."""
    check, calibration = (
        None if file is None else read_source(file, args.overrides)
        for file in (args.check, args.calibration)
    )
    from bertsmith.inference.checked_export import export_model

    found = export_model(
        args.model,
        args.output,
        graph_format=args.format,
        int8=args.int8,
        calibration=calibration,
        check=check,
    )
    size = sum(file.stat().st_size for file in Path(args.output).rglob("*") if file.is_file())
    facts = {name: value for name, value in vars(found).items() if value not in (None, {})}
    print(json.dumps({"path": args.output, "bytes": size} | facts, ensure_ascii=False))
    for line in _lines(found):
        print(line, file=sys.stderr)
    print(f"next: bertsmith info {args.output}", file=sys.stderr)


def _lines(check: Check) -> list[str]:
    lines = [
        f"compared on {counted(check.texts, 'sequence')} of {check.shortest} to {check.longest} "
        f"wordpieces: largest difference {check.largest_difference:.2g} of the largest number, "
        f"mean cosine {check.mean_cosine:.5f}"
    ]
    if check.figure is not None:
        before, after = check.figures[check.figure], check.exported_figures[check.figure]
        lines.append(f"{check.figure}: {before:.4f} before, {after:.4f} after")
    if check.unmeasured is not None:
        lines.append(f"the task's figure was not measured: {check.unmeasured}")
    return lines

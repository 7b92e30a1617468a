"""Running Python in a process of its own.

ONNX Runtime, OpenVINO and its quantizer stay out of the process that runs the tests: a run in which
they had been loaded has ended in a segmentation fault, in a later test that drew a picture. Tests
hand such work to a fresh interpreter, much of it at once, since each import costs seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def run_fresh(code: str, *arguments: Any, timeout: float = 600) -> Any:
    """What the code leaves in `answer`, by way of JSON; `arguments` are there as a list.

    Raises:
        AssertionError: it ended by an error, with what it wrote to stderr.
    """
    wrapped = (
        "import json, os, sys\n"
        "with os.fdopen(os.dup(1), 'w') as _answers:\n"
        "    os.dup2(2, 1)\n"
        "    arguments = json.loads(sys.argv[1])\n"
        "    answer = None\n"
        f"{_indented(code)}\n"
        "    _answers.write(json.dumps(answer))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", wrapped, json.dumps(arguments, default=str)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def _indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.splitlines())

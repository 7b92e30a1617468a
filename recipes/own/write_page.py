"""Write docs/own-models.md from page.md and the files of results beside this script.

python recipes/own/write_page.py
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from figures import FOLDER, ablation_table, chosen, comparison, pretraining, read_results

PAGE = Path(__file__).parents[2] / "docs" / "own-models.md"
MODELS = {
    "mini": "4 layers of 256, 11 million parameters",
    "small": "4 layers of 512, 29 million parameters",
    "base": "12 layers of 768, 110 million parameters",
}


def page(results: Mapping[str, Any]) -> str:
    parts = []
    for model, sizes in MODELS.items():
        parts += [
            f"## bertsmith-{model}: {sizes}\n",
            f"Pre-training: {pretraining(results.get(model))}.\n",
            comparison(model, results),
        ]
        if model in results:
            parts += ["What the grid chose for the full objective:\n", chosen(results[model])]
    template = Template((FOLDER / "page.md").read_text(encoding="utf-8"))
    return template.substitute(models="\n".join(parts), ablations=ablation_table("mini", results))


if __name__ == "__main__":
    PAGE.write_text(page(read_results()), encoding="utf-8")
    print(PAGE)

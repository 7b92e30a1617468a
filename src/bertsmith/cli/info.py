"""`bertsmith info`: explain a file or folder."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from bertsmith.cli.wording import counted

HELP = "explain a vocabulary, a prepared corpus, a recipe, a model or a checkpoint"
EXAMPLES = """examples:
  bertsmith info runs/mini
  bertsmith info recipes/tiny-cpu.toml
      every setting of the recipe, those that it leaves at their defaults too
  bertsmith info shards/train --verify
      reads all of the text and says whether it is what was written
"""
NEXT = {
    "corpus": "bertsmith pretrain RECIPE.toml data.train={path}",
    "vocabulary": "bertsmith prepare TEXT --vocab {path} --output SHARDS",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("path", metavar="PATH", help="a file or a folder")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read all shards of a prepared corpus and compare their checksums",
    )


def run(args: argparse.Namespace) -> None:
    """Print the facts: JSON to stdout, a sentence and the next command to stderr."""
    from bertsmith.inference.explain import explain

    facts = explain(args.path)
    if args.verify:
        facts["is_verified"] = _verify(facts)
    lines = facts.pop("weight_lines", [])
    print(json.dumps(facts, ensure_ascii=False, default=str))
    article = "an" if facts["kind"][0] in "aeiou" else "a"
    print(f"{facts['path']} is {article} {facts['kind']}: {_sentence(facts)}", file=sys.stderr)
    if args.verify:
        print(f"the checksums of {counted(facts['shards'], 'shard')} are right", file=sys.stderr)
    for line in lines:
        print(line, file=sys.stderr)
    if lines and (room := facts["config"]["vocab_size"] - facts["vocabulary_entries"]):
        print(
            f"the model has room for {counted(room, 'wordpiece')} that its vocabulary lacks",
            file=sys.stderr,
        )
    if findings := facts.get("results", {}).get("findings"):
        print(_measured(facts["results"]["evaluation"], findings), file=sys.stderr)
    print(f"next: {_next(facts)}", file=sys.stderr)


def _verify(facts: dict[str, Any]) -> bool:
    from bertsmith.data.shards import TokenizedCorpus
    from bertsmith.errors import ConfigError

    if facts["kind"] != "corpus":
        raise ConfigError(
            f"--verify reads the shards of a prepared corpus, and {facts['path']} is none; leave "
            "it out"
        )
    TokenizedCorpus.open(facts["path"]).verify()
    return True


def _sentence(facts: dict[str, Any]) -> str:
    if facts["kind"] == "corpus":
        return (
            f"{facts['documents']:,} documents, {facts['sentences']:,} sentences, "
            f"{facts['wordpieces']:,} wordpieces; shards: {facts['shards']}"
        )
    if facts["kind"] == "vocabulary":
        case = "uncased" if facts["lowercase"] else "cased"
        return f"{facts['vocab_size']:,} wordpieces, {case}"
    if facts["kind"] == "recipe":
        return f"for bertsmith {facts['verb']}; its {len(facts['settings'])} sections are valid"
    if facts["kind"] == "unfinished run":
        return f"its last checkpoint is of step {facts['step']:,}"
    if facts["kind"] == "exported model":
        cosine = facts.get("check", {}).get("mean_cosine", float("nan"))
        return (
            f"{facts['format']} in {facts['precision']}, made from {facts['made_from']}; mean "
            f"cosine of its vectors with the model's {cosine:.5f}"
        )
    config = facts["config"]
    sentence = (
        f"{counted(config['num_hidden_layers'], 'layer')} of {config['hidden_size']}, "
        f"{facts['num_parameters']:,} parameters, for "
        f"{' and '.join(facts['tasks']) or 'no task yet'}"
    )
    return sentence if facts["kind"] == "model" else f"step {facts['step']:,}; {sentence}"


def _measured(evaluation: dict[str, Any], findings: dict[str, Any]) -> str:
    """What a model reached when it was fine-tuned."""
    name, interval = findings["figure"], findings["interval"]
    value = findings["figures"][name]
    figure = "no number" if value is None else f"{value:.4f}"
    around = f" ({interval['low']:.4f} to {interval['high']:.4f})" if interval else ""
    where = f"{evaluation['file']} ({counted(evaluation['records'], 'record')})"
    return f"measured on {where}: {name} {figure}{around}"


def _next(facts: dict[str, Any]) -> str:
    if facts["kind"] == "model":
        if "masked_lm" in facts["tasks"]:
            return f'bertsmith fill-mask --model {facts["path"]} "Paris is the [MASK] of France."'
        if facts["answers_records"]:
            return f"bertsmith predict --model {facts['path']} --input FILE"
        return f"bertsmith embed --model {facts['path']} --input FILE --output X.npy"
    if facts["kind"] == "exported model":
        return f"bertsmith serve --model {facts['path']}"
    if facts["kind"] in ("checkpoint", "unfinished run"):
        return f"bertsmith {facts['verb']} {facts['recipe_file'] or 'RECIPE.toml'} --resume"
    if facts["kind"] == "recipe":
        return f"bertsmith {facts['verb']} {facts['path']}"
    return NEXT[facts["kind"]].format(path=facts["path"])

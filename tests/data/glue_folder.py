"""A folder of GLUE in the published layout, with four rows for each split of each task.

What the texts say is made up; headers, the order of columns and the quirks are those of the files
that gluebenchmark.com gives out.
"""

from __future__ import annotations

from pathlib import Path

TEXTS = (
    ("a good film .", "a bad film ."),
    ("a bad film .", "good ."),
    ('a " good film', "a film ."),
    ("bad .", "bad film ."),
)
_PARSES = "sentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
_MNLI = f"index\tpromptID\tpairID\tgenre\t{_PARSES}\tsentence1\tsentence2"
_MNLI_ROW = "{i}\t7\t7e\tfiction\t( a )\t( b )\t(ROOT)\t(ROOT)\t{a}\t{b}"
_MRPC = "#1 ID\t#2 ID\t#1 String\t#2 String"
_STSB = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
_STSB_ROW = "{i}\tmain-news\tMSRpar\t2012test\t00{i}\tnone\tnone\t{a}\t{b}"
_PAIR, _PAIR_ROW = "index\tsentence1\tsentence2", "{i}\t{a}\t{b}"
_BINARY = ("1", "0", "1", "0")
_ENTAILMENT = ("entailment", "not_entailment", "not_entailment", "entailment")
_NLI = ("neutral", "contradiction", "entailment", "neutral")

# File, header, row, labels; {train} stands for train and dev.
_FILES = (
    ("CoLA/{train}", "", "gj04\t{label}\t*\t{a}", _BINARY),
    ("CoLA/test", "index\tsentence", "{i}\t{a}", ()),
    ("SST-2/{train}", "sentence\tlabel", "{a} \t{label}", _BINARY),
    ("SST-2/test", "index\tsentence", "{i}\t{a}", ()),
    ("MRPC/{train}", f"\ufeffQuality\t{_MRPC}", "{label}\t1{i}\t2{i}\t{a}\t{b}", _BINARY),
    ("MRPC/test", f"index\t{_MRPC}", "{i}\t1{i}\t2{i}\t{a}\t{b}", ()),
    ("STS-B/{train}", f"{_STSB}\tscore", _STSB_ROW + "\t{label}", ("5.000", "0", "2.50", "3.8")),
    ("STS-B/test", _STSB, _STSB_ROW, ()),
    (
        "QQP/{train}",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        "{i}\t1{i}\t2{i}\t{a}\t{b}\t{label}",
        _BINARY,
    ),
    ("QQP/test", "id\tquestion1\tquestion2", _PAIR_ROW, ()),
    ("MNLI/train", f"{_MNLI}\tlabel1\tgold_label", _MNLI_ROW + "\t{label}\t{label}", _NLI),
    *(
        (
            f"MNLI/dev_{genres}",
            f"{_MNLI}\tlabel1\tlabel2\tgold_label",
            _MNLI_ROW + "\tneutral\tneutral\t{label}",
            _NLI,
        )
        for genres in ("matched", "mismatched")
    ),
    ("MNLI/test_matched", _MNLI, _MNLI_ROW, ()),
    ("MNLI/test_mismatched", _MNLI, _MNLI_ROW, ()),
    ("QNLI/{train}", "index\tquestion\tsentence\tlabel", _PAIR_ROW + "\t{label}", _ENTAILMENT),
    ("QNLI/test", "index\tquestion\tsentence", _PAIR_ROW, ()),
    ("RTE/{train}", f"{_PAIR}\tlabel", _PAIR_ROW + "\t{label}", _ENTAILMENT),
    ("RTE/test", _PAIR, _PAIR_ROW, ()),
    ("WNLI/{train}", f"{_PAIR}\tlabel", _PAIR_ROW + "\t{label}", _BINARY),
    ("WNLI/test", _PAIR, _PAIR_ROW, ()),
    ("diagnostic/diagnostic", _PAIR, _PAIR_ROW, ()),
    (
        "diagnostic/diagnostic-full",
        "Lexical Semantics\tLogic\tKnowledge\tDomain\tPremise\tHypothesis\tLabel",
        "\tNegation\t\tNews\t{a}\t{b}\t{label}",
        _NLI,
    ),
)


def write_glue(folder: Path) -> Path:
    """Write the folder."""
    for name, header, row, labels in _FILES:
        for split in ("train", "dev"):
            lines = [header] if header else []
            for i, (a, b) in enumerate(TEXTS):
                lines.append(row.format(i=i, a=a, b=b, label=labels[i] if labels else ""))
            path = folder / f"{name.format(train=split)}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    # Questions with line ends in them are two lines each.
    with (folder / "QQP" / "train.tsv").open("a", encoding="utf-8") as file:
        file.write("9\t19\t29\ta good\n film\tbad\t1\n")
    return folder

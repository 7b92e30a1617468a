"""Google's checkpoints: parameters in Hugging Face's layout, and whether the rest fits them.

The checkpoints are TensorFlow's own; `tests/parity/make_tensorflow_golden.py` made them.
"""

from __future__ import annotations

import json
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from bertsmith.errors import CheckpointError
from bertsmith.export.tensorflow_checkpoint import read_tensorflow_checkpoint
from bertsmith.export.tensorflow_files import is_tensorflow_checkpoint
from bertsmith.export.tensorflow_names import hugging_face_name, is_of_the_model

GOLDEN = Path(__file__).parents[1] / "parity" / "data" / "tensorflow"
PRETRAINED = GOLDEN / "pretrained"
CONFIG = json.loads((PRETRAINED / "bert_config.json").read_text())


def values_of(name: str) -> dict[str, NDArray[Any]]:
    with np.load(GOLDEN / f"{name}.npz") as values:
        return {key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): values[key] for key in values}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder that a test may change."""
    return Path(shutil.copytree(PRETRAINED, tmp_path / "model"))


def pack(folder: Path, archive: Path, inside: str = "uncased_L-2_H-8_A-2/") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.glob("*[!z]")):
            file.write(path, f"{inside}{path.name}")
    return archive


def their_model(kind: type[transformers.PreTrainedModel], **more: Any) -> dict[str, Tensor]:
    """The parameters of a model of Hugging Face's, for their names and shapes."""
    model = kind(transformers.BertConfig(**CONFIG, **more))
    return {name: p for name, p in model.named_parameters() if "decoder" not in name}


@pytest.mark.parametrize(
    ("path", "kind", "more"),
    [
        ("pretrained", transformers.BertForPreTraining, {}),
        ("shards", transformers.BertModel, {}),
        (
            "fine-tuned/classifier.ckpt-343",
            transformers.BertForSequenceClassification,
            {"num_labels": 3},
        ),
        ("fine-tuned/squad.ckpt-343", transformers.BertForQuestionAnswering, {}),
        ("model-garden/numbered", transformers.BertModel, {}),
        ("model-garden/named", transformers.BertModel, {}),
    ],
)
def test_names_and_shapes_are_those_of_transformers(path: str, kind: Any, more: Any) -> None:
    tensors = read_tensorflow_checkpoint(GOLDEN / path).tensors
    expected = {
        name if kind is not transformers.BertModel else f"bert.{name}": tuple(parameter.shape)
        for name, parameter in their_model(kind, **more).items()
    }
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if kind is transformers.BertForQuestionAnswering:  # it has no pooler, Google's has one unused
        found = {name: shape for name, shape in found.items() if "pooler" not in name}
    assert found == expected
    assert all(t.dtype == torch.float32 and t.is_contiguous() for t in tensors.values())


def dense(x: NDArray[Any], values: dict[str, NDArray[Any]], scope: str) -> NDArray[Any]:
    """A dense layer as TensorFlow computes it: inputs times kernel plus bias, for any heads."""
    kernel, bias = values[f"{scope}/kernel"], values[f"{scope}/bias"]
    axes = kernel.ndim - bias.ndim
    return np.tensordot(x, kernel, axes) + bias


def close(ours: Tensor, theirs: NDArray[Any]) -> bool:
    return np.allclose(ours.numpy(), theirs.reshape(ours.shape), atol=1e-5)


@pytest.mark.parametrize(
    ("path", "layer", "output"),
    [
        ("pretrained/bert_model.ckpt", "bert/encoder/layer_1", "attention/output/dense"),
        ("model-garden/numbered", "model/layer_with_weights-5", "_attention_output_dense"),
        ("model-garden/named", "encoder/_transformer_layers/1", "_attention_layer/_output_dense"),
    ],
)
def test_dense_layers_compute_what_tensorflows_do(path: str, layer: str, output: str) -> None:
    """Kernels that are turned or flattened the wrong way may have the right shape."""
    values = values_of(path)
    tensors = read_tensorflow_checkpoint(GOLDEN / path).tensors
    x = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)

    def ours(module: str, inputs: NDArray[Any]) -> Tensor:
        name = f"bert.encoder.layer.1.{module}"
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        return torch.nn.functional.linear(torch.from_numpy(inputs), weight, bias)

    is_google = path.startswith("pretrained")
    for part in "query", "key", "value":
        scope = f"attention/self/{part}" if is_google else f"_attention_layer/_{part}_dense"
        assert close(ours(f"attention.self.{part}", x), dense(x, values, f"{layer}/{scope}"))
    heads = x if is_google else x.reshape(3, 2, 4)
    assert close(ours("attention.output.dense", x), dense(heads, values, f"{layer}/{output}"))
    scope = "intermediate/dense" if is_google else "_intermediate_dense"
    assert close(ours("intermediate.dense", x), dense(x, values, f"{layer}/{scope}"))


def test_what_is_not_turned_comes_bit_for_bit() -> None:
    values = values_of("pretrained/bert_model.ckpt")
    tensors = read_tensorflow_checkpoint(PRETRAINED).tensors
    for name, variable in {
        "bert.embeddings.word_embeddings.weight": "bert/embeddings/word_embeddings",
        "bert.embeddings.token_type_embeddings.weight": "bert/embeddings/token_type_embeddings",
        "bert.embeddings.LayerNorm.bias": "bert/embeddings/LayerNorm/beta",
        "bert.encoder.layer.0.output.LayerNorm.weight": (
            "bert/encoder/layer_0/output/LayerNorm/gamma"
        ),
        "cls.predictions.bias": "cls/predictions/output_bias",
        "cls.seq_relationship.weight": "cls/seq_relationship/output_weights",
    }.items():
        assert torch.equal(tensors[name], torch.from_numpy(values[variable]))


def test_the_rest_of_a_checkpoint_comes_with_it() -> None:
    checkpoint = read_tensorflow_checkpoint(PRETRAINED)
    assert checkpoint.config == CONFIG
    assert checkpoint.config["hidden_act"] == "gelu"
    assert checkpoint.vocabulary.pieces[:6] == [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "the",
    ]
    assert checkpoint.global_step == 343
    assert checkpoint.left_over == []
    assert read_tensorflow_checkpoint(GOLDEN / "shards").global_step is None


def test_every_way_to_name_a_checkpoint_leads_to_it(tmp_path: Path) -> None:
    expected = read_tensorflow_checkpoint(PRETRAINED).tensors
    sources: list[Path | str] = [
        PRETRAINED / "bert_model.ckpt",
        PRETRAINED / "bert_model.ckpt.index",
        str(PRETRAINED / "bert_model.ckpt.data-00000-of-00001"),
        pack(PRETRAINED, tmp_path / "in-a-folder.zip"),
        pack(PRETRAINED, tmp_path / "flat.zip", inside=""),
    ]
    for source in sources:
        assert is_tensorflow_checkpoint(source)
        tensors = read_tensorflow_checkpoint(source).tensors
        assert tensors.keys() == expected.keys()
        assert all(torch.equal(tensors[name], expected[name]) for name in expected)


def test_other_files_are_not_taken_for_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    pack(tmp_path, tmp_path / "other.zip")
    for path in tmp_path, tmp_path / "other.zip", tmp_path / "model.safetensors", Path("nowhere"):
        assert not is_tensorflow_checkpoint(path)


def test_nothing_of_a_zip_stays_behind(
    tmp_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    read_tensorflow_checkpoint(pack(copy, tmp_path / "good.zip"))
    (copy / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match=r"bad.zip/vocab.txt does not exist"):
        read_tensorflow_checkpoint(pack(copy, tmp_path / "bad.zip"))
    assert not any((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("name", "pieces", "lowercase"),
    [
        ("uncased_L-12_H-768_A-12", ["the"], True),
        ("cased_L-12_H-768_A-12", ["the"], False),
        ("multi_cased_L-12_H-768_A-12", ["The"], False),
        ("wwm_uncased_L-24_H-1024_A-16", ["the"], True),
        ("my-model", ["the"], True),
        ("my-model", ["The"], False),
        ("showcased", ["the"], True),
    ],
)
def test_case_comes_from_the_name_or_else_from_the_vocabulary(
    tmp_path: Path, copy: Path, name: str, pieces: list[str], lowercase: bool
) -> None:
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (copy / "vocab.txt").write_text("\n".join(specials + pieces))
    folder = copy.rename(tmp_path / name)
    packed = pack(folder, tmp_path / "a.zip", inside=f"{name}/")
    named = pack(folder, tmp_path / f"{name}.zip", inside="")
    for source in folder, folder / "bert_model.ckpt", packed, named:
        assert read_tensorflow_checkpoint(source).lowercase is lowercase


def test_a_cased_vocabulary_in_an_uncased_folder_is_refused(tmp_path: Path, copy: Path) -> None:
    pieces = (copy / "vocab.txt").read_text().replace("cat", "Cat")
    (copy / "vocab.txt").write_text(pieces)
    with pytest.raises(CheckpointError, match=r"upper-case entries \('Cat', say\) and uncased_L-2"):
        read_tensorflow_checkpoint(copy.rename(tmp_path / "uncased_L-2_H-8"))


def test_a_fine_tuned_checkpoint_takes_its_configuration_from_elsewhere(tmp_path: Path) -> None:
    for file in (GOLDEN / "fine-tuned").glob("classifier*"):
        shutil.copy(file, tmp_path)
    with pytest.raises(CheckpointError, match=r"bert_config.json does not exist; give"):
        read_tensorflow_checkpoint(tmp_path)
    checkpoint = read_tensorflow_checkpoint(
        tmp_path,
        config=PRETRAINED / "bert_config.json",
        vocabulary=str(PRETRAINED / "vocab.txt"),
    )
    assert checkpoint.tensors["classifier.weight"].shape == (3, 8)


def test_a_folder_of_several_checkpoints_names_them() -> None:
    with pytest.raises(CheckpointError, match=r"2 checkpoints; give one of them: .*squad.ckpt-343"):
        read_tensorflow_checkpoint(GOLDEN / "fine-tuned")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"num_hidden_layers": 3}, "lacks bert.encoder.layer.2.attention.self.query.weight"),
        ({"num_hidden_layers": 10**12}, "lacks bert.encoder.layer.2"),
        ({"num_hidden_layers": 1}, r"2 layers where .* num_hidden_layers \(1\)"),
        ({"num_hidden_layers": "2"}, r"bert_config.json: num_hidden_layers \('2'\)"),
        ({"vocab_size": 9}, "10 wordpieces for a model of 9"),
    ],
)
def test_a_configuration_of_another_model_is_refused(copy: Path, change: Any, reason: str) -> None:
    (copy / "bert_config.json").write_text(json.dumps(CONFIG | change))
    with pytest.raises(CheckpointError, match=reason):
        read_tensorflow_checkpoint(copy)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_a_configuration_that_is_none_is_refused(copy: Path, text: str) -> None:
    (copy / "bert_config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"bert_config.json(:| cannot be read as JSON)"):
        read_tensorflow_checkpoint(copy)


def test_another_models_checkpoint_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"types lacks bert.embeddings.word_embeddings"):
        read_tensorflow_checkpoint(
            GOLDEN / "types",
            config=PRETRAINED / "bert_config.json",
            vocabulary=PRETRAINED / "vocab.txt",
        )


@pytest.mark.parametrize(
    ("variable", "parameter"),
    [
        ("bert/encoder/layer_11/output/dense/kernel", "bert.encoder.layer.11.output.dense.weight"),
        ("encoder/layer_with_weights-2/embeddings", "bert.embeddings.token_type_embeddings.weight"),
        (
            "model/layer_with_weights-1/position_embeddings",
            "bert.embeddings.position_embeddings.weight",
        ),
        ("encoder/layer_with_weights-16/kernel", "bert.pooler.dense.weight"),
        ("next_sentence..pooler_dense/bias", "bert.pooler.dense.bias"),
        ("masked_lm/layer_norm/gamma", "cls.predictions.transform.LayerNorm.weight"),
        ("masked_lm/bias", "cls.predictions.bias"),
        ("masked_lm/embedding_table", "bert.embeddings.word_embeddings.weight"),
        ("encoder/layer_with_weights-17/kernel", None),
        ("encoder/layer_with_weights-0/kernel", None),
        ("bert/encoder/layer_0/output/dense/gamma", None),
        ("other/bert/embeddings/word_embeddings", None),
        ("bert/encoder/layer_0/output/dense/kernel/adam_m", None),
    ],
)
def test_variables_find_their_parameters(variable: str, parameter: str | None) -> None:
    assert hugging_face_name(variable, 12) == parameter
    if "/layer_with" in variable or variable.startswith(("masked", "next")):
        objects = f"{variable}/.ATTRIBUTES/VARIABLE_VALUE"
        assert hugging_face_name(objects, 12) == parameter


@pytest.mark.parametrize(
    "variable",
    [
        "bert/pooler/dense/kernel/adam_v",
        "global_step",
        "_CHECKPOINTABLE_OBJECT_GRAPH",
        "save_counter/.ATTRIBUTES/VARIABLE_VALUE",
        "optimizer/iter/.ATTRIBUTES/VARIABLE_VALUE",
        "encoder/layer_with_weights-3/beta/.OPTIMIZER_SLOT/optimizer/m/.ATTRIBUTES/VARIABLE_VALUE",
        "AdamWeightDecayOptimizer/beta1",
    ],
)
def test_what_training_adds_is_no_part_of_the_model(variable: str) -> None:
    assert not is_of_the_model(variable)


# Archives that nobody should unpack.


@pytest.mark.parametrize("name", ["../evil.index", "/evil.index", "a/../../evil.index"])
def test_an_archive_that_leaves_its_folder_is_refused(
    tmp_path: Path, copy: Path, name: str
) -> None:
    archive = pack(copy, tmp_path / "a.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(name, b"x")
    with pytest.raises(CheckpointError, match=r"a.zip has a file that would lie outside"):
        read_tensorflow_checkpoint(archive)
    assert not list(tmp_path.rglob("evil*"))


def test_an_archive_that_swells_is_refused_before_it_is_unpacked(
    tmp_path: Path, copy: Path
) -> None:
    (copy / "bert_model.ckpt.data-00000-of-00001").write_bytes(bytes(2**24))
    with pytest.raises(CheckpointError, match=r"data-00000-of-00001 would be unpacked from .* to"):
        read_tensorflow_checkpoint(pack(copy, tmp_path / "a.zip"))
    (copy / "vocab.txt").write_bytes(b"a" * (2**26 + 1))
    (copy / "bert_model.ckpt.data-00000-of-00001").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_STORED) as file:
        for path in copy.glob("*[!z]"):
            file.write(path, path.name)
    with pytest.raises(CheckpointError, match=r"vocab.txt would be unpacked"):
        read_tensorflow_checkpoint(tmp_path / "b.zip")


def test_links_in_an_archive_are_files(tmp_path: Path, copy: Path) -> None:
    (copy / "vocab.txt").unlink()
    archive = pack(copy, tmp_path / "a.zip", inside="")
    link = zipfile.ZipInfo("vocab.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(link, str(PRETRAINED / "vocab.txt"))
    with pytest.raises(CheckpointError, match=r"vocab.txt lacks \[PAD\]"):
        read_tensorflow_checkpoint(archive)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_of_another_compression_is_refused(tmp_path: Path, compression: int) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", compression) as file:
        file.write(PRETRAINED / "bert_model.ckpt.index", "bert_model.ckpt.index")
    with pytest.raises(CheckpointError, match=r"a.zip: bert_model.ckpt.index is compressed in a"):
        read_tensorflow_checkpoint(archive)


@pytest.mark.parametrize("kept", [100, -1])
def test_a_zip_that_was_cut_short_is_called_so(tmp_path: Path, kept: int) -> None:
    archive = pack(PRETRAINED, tmp_path / "a.zip")
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"a.zip is neither .* nor a zip"):
        read_tensorflow_checkpoint(archive)


def test_a_damaged_zip_counts_as_a_checkpoint_so_that_it_can_be_called_damaged(
    tmp_path: Path,
) -> None:
    archive = pack(PRETRAINED, tmp_path / "a.zip")
    data = archive.read_bytes()
    archive.write_bytes(data.replace(b"PK\1\2", b"PK\1\3"))
    assert is_tensorflow_checkpoint(archive)
    with pytest.raises(CheckpointError, match=r"a.zip is damaged"):
        read_tensorflow_checkpoint(archive)


def test_an_archive_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("notes.txt", "hello")
    with pytest.raises(CheckpointError, match=r"a.zip holds no .index file"):
        read_tensorflow_checkpoint(tmp_path / "a.zip")


@settings(
    max_examples=60, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1), byte=st.integers(1, 255), is_directory=st.booleans())
def test_a_damaged_archive_gives_an_error_or_the_right_values(
    tmp_path: Path, place: float, byte: int, is_directory: bool
) -> None:
    archive = pack(PRETRAINED, tmp_path / "a.zip")
    data = bytearray(archive.read_bytes())
    start = data.index(b"PK\1\2") if is_directory else 0
    data[start + int(place * (len(data) - 1 - start))] ^= byte
    archive.write_bytes(data)
    is_tensorflow_checkpoint(archive)
    try:
        tensors = read_tensorflow_checkpoint(archive).tensors
    except CheckpointError:
        return
    expected = read_tensorflow_checkpoint(PRETRAINED).tensors
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)

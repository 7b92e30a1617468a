"""Write the checkpoints that the tests of `export/tensor_bundle.py` read, with TensorFlow itself.

    pip install tensorflow-cpu
    python tests/parity/make_tensorflow_golden.py [FOLDER]

FOLDER is `tests/parity/data/tensorflow` where none is given. Each checkpoint stands beside an
.npz of the same name with its values by the names of its variables, as they went into it. The
variables are named as `modeling.py` of google-research/bert and the TensorFlow Model Garden name
them, and filled with random numbers from a fixed seed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "##s", "##ed"]
CONFIG = {
    "attention_probs_dropout_prob": 0.1,
    "directionality": "bidi",
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 8,
    "initializer_range": 0.02,
    "intermediate_size": 12,
    "max_position_embeddings": 6,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "pooler_type": "first_token_transform",
    "type_vocab_size": 2,
    "vocab_size": len(VOCABULARY),
}
H, A, L = 8, 2, 2
D = H // A
I = CONFIG["intermediate_size"]  # noqa: E741 (the dimension key's letter)
V, P = len(VOCABULARY), 6

GLOBAL_STEP = 343
Arrays = dict[str, Any]
random = np.random.default_rng(1810)


def floats(*shape: int) -> np.ndarray:
    return random.standard_normal(shape).astype(np.float32)


def dense(scope: str, inputs: int, outputs: int) -> Arrays:
    return {f"{scope}/kernel": floats(inputs, outputs), f"{scope}/bias": floats(outputs)}


def layer_norm(scope: str) -> Arrays:
    return {f"{scope}/gamma": floats(H), f"{scope}/beta": floats(H)}


def google_encoder() -> Arrays:
    """The variables of `BertModel`, which is in the scope `bert`."""
    arrays = {
        "bert/embeddings/word_embeddings": floats(V, H),
        "bert/embeddings/token_type_embeddings": floats(2, H),
        "bert/embeddings/position_embeddings": floats(P, H),
        **layer_norm("bert/embeddings/LayerNorm"),
    }
    for n in range(L):
        scope = f"bert/encoder/layer_{n}"
        for part in "query", "key", "value":
            arrays |= dense(f"{scope}/attention/self/{part}", H, H)
        arrays |= dense(f"{scope}/attention/output/dense", H, H)
        arrays |= layer_norm(f"{scope}/attention/output/LayerNorm")
        arrays |= dense(f"{scope}/intermediate/dense", H, I)
        arrays |= dense(f"{scope}/output/dense", I, H)
        arrays |= layer_norm(f"{scope}/output/LayerNorm")
    return arrays | dense("bert/pooler/dense", H, H)


def google_pretraining() -> Arrays:
    """What `run_pretraining.py` saves: the two heads, Adam's slots, the step."""
    arrays = {
        **google_encoder(),
        **dense("cls/predictions/transform/dense", H, H),
        **layer_norm("cls/predictions/transform/LayerNorm"),
        "cls/predictions/output_bias": floats(V),
        "cls/seq_relationship/output_weights": floats(2, H),
        "cls/seq_relationship/output_bias": floats(2),
    }
    for name, array in list(arrays.items()):
        arrays[f"{name}/adam_m"] = floats(*array.shape)
        arrays[f"{name}/adam_v"] = floats(*array.shape) ** 2
    return arrays | {"global_step": np.int64(GLOBAL_STEP)}


def model_garden(*, numbered: bool) -> Arrays:
    """The Model Garden's encoder, its objects numbered, or named as in `BertEncoderV2`."""
    if numbered:
        word, position, segment, norm = (f"layer_with_weights-{n}" for n in range(4))
        layers = [f"layer_with_weights-{4 + n}" for n in range(L)]
        pooler, output = f"layer_with_weights-{4 + L}", "_attention_output_dense"
    else:
        word, position, segment = (
            f"_{kind}_layer" for kind in ("embedding", "position_embedding", "type_embedding")
        )
        norm, pooler, output = "_embedding_norm_layer", "_pooler_layer", None
        layers = [f"_transformer_layers/{n}" for n in range(L)]
    arrays = {
        f"{word}/embeddings": floats(V, H),
        f"{position}/embeddings": floats(P, H),
        f"{segment}/embeddings": floats(2, H),
        **layer_norm(norm),
    }
    for layer in layers:
        for part in "query", "key", "value":
            arrays[f"{layer}/_attention_layer/_{part}_dense/kernel"] = floats(H, A, D)
            arrays[f"{layer}/_attention_layer/_{part}_dense/bias"] = floats(A, D)
        scope = f"{layer}/{output or '_attention_layer/_output_dense'}"
        arrays |= {f"{scope}/kernel": floats(A, D, H), f"{scope}/bias": floats(H)}
        arrays |= layer_norm(f"{layer}/_attention_layer_norm")
        arrays |= dense(f"{layer}/_intermediate_dense", H, I)
        arrays |= dense(f"{layer}/_output_dense", I, H)
        arrays |= layer_norm(f"{layer}/_output_layer_norm")
    return arrays | dense(pooler, H, H)


def save_by_name(prefix: Path, arrays: Arrays, partitioner: Any = None) -> None:
    """Save as the scripts of TensorFlow 1 do, with `tf.train.Saver`."""
    with tf.Graph().as_default(), tf1.Session() as session:
        for name, array in arrays.items():
            tf1.get_variable(name, initializer=tf.constant(array), use_resource=False)
        if partitioner:
            zeros = tf1.zeros_initializer()
            tf1.get_variable("in_parts", (6, 4), initializer=zeros, partitioner=partitioner)
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(prefix), write_meta_graph=False, write_state=False)
    write_values(prefix, arrays)


def save_in_shards(prefix: Path, arrays: Arrays, num_shards: int) -> None:
    """Save in several data files, as several computers do; every file takes turns."""
    parts = [f"{prefix}_part{index}" for index in range(num_shards)]
    for index, part in enumerate(parts):
        names = list(arrays)[index::num_shards]
        tf.raw_ops.SaveV2(
            prefix=part,
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.constant(arrays[name]) for name in names],
        )
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=parts, destination_prefix=str(prefix), delete_old_dirs=False
    )
    write_values(prefix, arrays)


def save_objects(prefix: Path, root: str, arrays: Arrays) -> None:
    """Save as TensorFlow 2 does: a variable is named by the way to it from object to object."""
    tree = tf.train.Checkpoint()
    for path, array in arrays.items():
        *ways, name = f"{root}/{path}".split("/")
        node = tree
        for way in ways:
            if not hasattr(node, way):
                setattr(node, way, tf.Module())
            node = getattr(node, way)
        setattr(node, name, tf.Variable(array))
    tree.write(str(prefix))
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    write_values(prefix, {f"{root}/{path}{suffix}": array for path, array in arrays.items()})


def write_values(prefix: Path, arrays: Arrays) -> None:
    """The values that were saved; numpy has no bfloat16, and float32 holds each of its values."""
    values = {
        name: np.asarray(array, np.float32) if is_bfloat16(array) else np.asarray(array)
        for name, array in arrays.items()
    }
    np.savez_compressed(prefix.with_name(f"{prefix.name}.npz"), **values)


def is_bfloat16(array: np.ndarray) -> bool:
    return array.dtype == tf.bfloat16.as_numpy_dtype


def write_model_files(folder: Path) -> None:
    (folder / "bert_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in VOCABULARY))


def main(folder: Path) -> None:
    folders = {
        name: folder / name
        for name in ("pretrained", "fine-tuned", "shards", "types", "model-garden")
    }
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    for name in "pretrained", "fine-tuned", "shards", "model-garden":
        write_model_files(folders[name])

    save_by_name(folders["pretrained"] / "bert_model.ckpt", google_pretraining())
    encoder = google_encoder()
    classifier = {"output_weights": floats(3, H), "output_bias": floats(3)}
    save_by_name(folders["fine-tuned"] / "classifier.ckpt-343", encoder | classifier)
    squad = {"cls/squad/output_weights": floats(2, H), "cls/squad/output_bias": floats(2)}
    save_by_name(folders["fine-tuned"] / "squad.ckpt-343", encoder | squad)
    save_in_shards(folders["shards"] / "bert_model.ckpt", google_encoder(), 3)
    for name, root, numbered in (
        ("numbered", "model", True),
        ("named", "encoder", False),
    ):
        save_objects(folders["model-garden"] / name, root, model_garden(numbered=numbered))

    numbers = random.standard_normal((3, 5)) * 100
    types = {
        "a_float32": numbers.astype(np.float32),
        "a_float64": numbers,
        "a_float16": numbers.astype(np.float16),
        "a_bfloat16": numbers.astype(tf.bfloat16.as_numpy_dtype),
        "an_int32": numbers.astype(np.int32),
        "an_int64": numbers.astype(np.int64) << 40,
        "a_scalar": np.float32(0.1),
        "special/values": np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], np.float32),
    }
    save_by_name(
        folders["types"] / "types",
        types | {"a_bool": np.array([True, False]), "a_string": np.array(b"words")},
        partitioner=tf1.fixed_size_partitioner(3),
    )
    write_values(folders["types"] / "types", types)
    # TensorFlow's blocks have 256 KiB, so names that share nothing must be long to fill several.
    # They are the same but for the number, which a zip takes back.
    many = {f"{n:04}/{'of_a_long_name/' * 15}": np.float32(n) for n in range(2400)}
    with tempfile.TemporaryDirectory() as path:
        save_by_name(Path(path) / "many", many)
        with zipfile.ZipFile(folder / "many.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(Path(path).glob("many.*[!z]")):
                # A member without a date, so that every run gives the same bytes.
                member = zipfile.ZipInfo(file.name)
                archive.writestr(member, file.read_bytes(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data/tensorflow")

"""Google's names for BERT's variables, and Hugging Face's for the same parameters.

Two families of checkpoints exist. Those of google-research/bert (TensorFlow 1) are named by scope:
`bert/encoder/layer_0/attention/self/query/kernel`. Those of the TensorFlow Model Garden
(TensorFlow 2) are named by the way from object to object:
`encoder/layer_with_weights-4/_attention_layer/_query_dense/kernel/.ATTRIBUTES/VARIABLE_VALUE`.

Dimension key: `H` hidden size, `A` heads, `D` size of a head, `L` layers.

Source: `modeling.py`, `run_classifier.py` and `run_squad.py` of google-research/bert; `networks`,
`layers` and `bert/tf1_checkpoint_converter_lib.py` under `official/nlp` of tensorflow/models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from numpy.typing import NDArray

# The modules of a layer, Hugging Face's name → the Model Garden's. Google's own differ from the
# former in their separators alone. The output of the attention was moved in 2020.
_OF_A_LAYER: Mapping[str, tuple[str, ...]] = {
    "attention.self.query": ("_attention_layer/_query_dense",),
    "attention.self.key": ("_attention_layer/_key_dense",),
    "attention.self.value": ("_attention_layer/_value_dense",),
    "attention.output.dense": ("_attention_layer/_output_dense", "_attention_output_dense"),
    "attention.output.LayerNorm": ("_attention_layer_norm",),
    "intermediate.dense": ("_intermediate_dense",),
    "output.dense": ("_output_dense",),
    "output.LayerNorm": ("_output_layer_norm",),
}
_OF_THE_REST: Mapping[str, tuple[str, ...]] = {
    "bert.embeddings.LayerNorm": ("_embedding_norm_layer",),
    "bert.pooler.dense": ("_pooler_layer", "next_sentence..pooler_dense"),
    "cls.predictions.transform.dense": ("masked_lm/dense",),
    "cls.predictions.transform.LayerNorm": ("masked_lm/layer_norm",),
}
_EMBEDDINGS: Mapping[str, tuple[str, ...]] = {
    "bert.embeddings.word_embeddings": ("_embedding_layer/embeddings", "masked_lm/embedding_table"),
    "bert.embeddings.position_embeddings": ("_position_embedding_layer/embeddings",),
    "bert.embeddings.token_type_embeddings": ("_type_embedding_layer/embeddings",),
}
# Variables that are neither an embedding nor what a dense layer or a layer norm calls its own.
_WHOLE_NAMES: Mapping[str, str] = {
    "cls/predictions/output_bias": "cls.predictions.bias",
    "masked_lm/bias": "cls.predictions.bias",
    "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
    "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
    "output_weights": "classifier.weight",
    "output_bias": "classifier.bias",
    "cls/squad/output_weights": "qa_outputs.weight",
    "cls/squad/output_bias": "qa_outputs.bias",
}
_LAYER_NORM = {"gamma": "weight", "beta": "bias"}
_DENSE = {"kernel": "weight", "bias": "bias"}

_OBJECT_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_OBJECT_ROOT = re.compile(r"^(model|encoder)/(?=layer_with_weights-|_)")
_NUMBERED = re.compile(r"layer_with_weights-(\d{1,4})/(.+)")
_LAYER = re.compile(r"(?:bert/encoder/layer_|_transformer_layers/)(\d{1,4})/(.+)")
# What stands under its number before the layers, in the Model Garden's numbering.
_NUM_EMBEDDING_LAYERS = 4

_GLOBAL_STEPS = ("global_step", f"global_step{_OBJECT_SUFFIX}")
_NOT_OF_THE_MODEL = re.compile(
    r"/adam_[mv]$|/Adam(_1)?$|^AdamWeightDecayOptimizer|^beta[12]_power$|^optimizer/"
    r"|/\.OPTIMIZER_SLOT/|^global_step\b|^save_counter/|^_CHECKPOINTABLE_OBJECT_GRAPH$"
)


def hugging_face_name(variable: str, num_layers: int) -> str | None:
    """Hugging Face's name of the parameter that a variable holds; None where it is none of BERT's.

    Args:
        variable: its name in the checkpoint.
        num_layers: L; the Model Garden numbers the pooler after the layers.
    """
    name = _OBJECT_ROOT.sub("", variable.removesuffix(_OBJECT_SUFFIX))
    if numbered := _NUMBERED.fullmatch(name):
        name = _by_role(int(numbered[1]), numbered[2], num_layers)
    if name in _WHOLE_NAMES:
        return _WHOLE_NAMES[name]
    layer = _LAYER.fullmatch(name)
    modules = _OF_A_LAYER if layer else _OF_THE_REST
    path, _, own_name = (layer[2] if layer else name).rpartition("/")
    for module, others in modules.items():
        kinds = _LAYER_NORM if module.endswith("LayerNorm") else _DENSE
        if path in (module.replace(".", "/"), *others) and own_name in kinds:
            prefix = f"bert.encoder.layer.{int(layer[1])}." if layer else ""
            return f"{prefix}{module}.{kinds[own_name]}"
    for module, others in _EMBEDDINGS.items():
        if name in (module.replace(".", "/"), *others):
            return f"{module}.weight"
    return None


def is_of_the_model(variable: str) -> bool:
    """Whether a variable is neither an optimizer's (`adam_m`, `adam_v`) nor TensorFlow's own."""
    return _NOT_OF_THE_MODEL.search(variable) is None


def global_step_of(variables: Mapping[str, Any]) -> str | None:
    """The name of the variable that counts the steps, where there is one."""
    return next((name for name in _GLOBAL_STEPS if name in variables), None)


def encoder_names(num_layers: int) -> Iterator[str]:
    """What every BERT has: Hugging Face's names of the embeddings' and the layers' parameters.

    One after the other, since a damaged configuration may ask for any number of layers.
    """
    for module in _EMBEDDINGS:
        yield f"{module}.weight"
    norm = "bert.embeddings.LayerNorm"
    layers = (f"bert.encoder.layer.{n}.{m}" for n in range(num_layers) for m in _OF_A_LAYER)
    for module in chain([norm], layers):
        yield f"{module}.weight"
        yield f"{module}.bias"


def layer_of(parameter: str) -> int | None:
    """The number of the layer that a parameter, by Hugging Face's name, is in."""
    found = re.match(r"bert\.encoder\.layer\.(\d+)\.", parameter)
    return int(found[1]) if found else None


def to_hugging_face(variable: str, parameter: str, array: NDArray[Any]) -> NDArray[Any]:
    """Lay a variable out as the parameter that it is at Hugging Face; a view.

    TensorFlow keeps a dense layer's kernel as (inputs, outputs), which is turned. The Model Garden
    keeps those of attention with its heads apart: queries, keys and values (H, A, D), their biases
    (A, D), the output (A, D, H). The output weights of heads are (outputs, inputs) on both sides.
    """
    if parameter.endswith(".bias"):
        return array.reshape(-1)
    if not variable.removesuffix(_OBJECT_SUFFIX).endswith("/kernel") or array.ndim < 2:
        return array
    if parameter.endswith("attention.output.dense.weight"):
        return array.reshape(-1, array.shape[-1]).T
    return array.reshape(array.shape[0], -1).T


def _by_role(number: int, rest: str, num_layers: int) -> str:
    """The name that says what a numbered object is; empty where nothing of BERT has the number."""
    if number < len(_EMBEDDINGS):
        is_table = rest in ("embeddings", "position_embeddings")
        return list(_EMBEDDINGS.values())[number][0] if is_table else ""
    if number < _NUM_EMBEDDING_LAYERS:
        return f"_embedding_norm_layer/{rest}"
    if number < _NUM_EMBEDDING_LAYERS + num_layers:
        return f"_transformer_layers/{number - _NUM_EMBEDDING_LAYERS}/{rest}"
    return f"_pooler_layer/{rest}" if number == _NUM_EMBEDDING_LAYERS + num_layers else ""

"""Run Google's own BERT code and write down its numbers, for ours to be held to.

    python tests/parity/make_google_golden.py CLONE

CLONE is a clone of github.com/google-research/bert, of which nothing is copied. It was written for
TensorFlow 1 and runs here on TensorFlow 2 (`pip install tensorflow-cpu`), in an environment beside
the project's. All inputs are random, made here. The files go to `data/google/`:

- `model.npz`: a small model's weights and inputs, every layer's output, losses and gradients; also
  how its parameters would start.
- `optimizer.npz`: a hundred steps of the optimizer under the schedule.
- `corpus.npz`: a generated corpus in wordpieces.
- `pretraining_data.json`: what create_pretraining_data.py makes of it.
- `versions.json`: what made these files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

# One thread and no kernels of a CPU's own, so that the numbers are the same wherever it runs.
os.environ |= {
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "CUDA_VISIBLE_DEVICES": "",
}

import numpy as np
import tensorflow.compat.v1 as tf
from google_pretraining_data import pretraining_data
from tensorflow_1 import import_clone

OUT = Path(__file__).parent / "data" / "google"
MODULES = ("modeling", "optimization", "run_pretraining", "tokenization", "create_pretraining_data")

CONFIG = {
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "hidden_act": "gelu",
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
}
# (wordpieces of the sequence, of `[CLS] A [SEP]`)
SEQUENCES = [(16, 9), (11, 4), (7, 7), (3, 3)]
POSITIONS = [[1, 5, 6, 14], [2, 8, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0]]
WEIGHTS = [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]

STEPS, WARMUP_STEPS, LEARNING_RATE = 100, 10, 0.01
VARIABLES = {
    "bert/embeddings/word_embeddings": (5, 4),
    "bert/encoder/layer_0/attention/output/LayerNorm/gamma": (4,),
    "bert/encoder/layer_0/intermediate/dense/kernel": (4, 3),
    "bert/encoder/layer_0/intermediate/dense/bias": (3,),
    "cls/predictions/output_bias": (5,),
}


def session() -> tf.Session:
    """A session on one thread."""
    config = tf.ConfigProto(inter_op_parallelism_threads=1, intra_op_parallelism_threads=1)
    return tf.Session(config=config)


def model_numbers(modeling: ModuleType, run_pretraining: ModuleType) -> dict[str, np.ndarray]:
    """Weights far from their initial ones, so that no bias and no layer norm is without effect."""
    rng = np.random.default_rng(1)
    length = max(total for total, _ in SEQUENCES)
    inputs = {
        "input_ids": np.zeros((len(SEQUENCES), length), np.int32),
        "input_mask": np.zeros((len(SEQUENCES), length), np.int32),
        "segment_ids": np.zeros((len(SEQUENCES), length), np.int32),
        "masked_positions": np.array(POSITIONS, np.int32),
        "masked_ids": rng.integers(5, CONFIG["vocab_size"], np.shape(POSITIONS), np.int32),
        "masked_weights": np.array(WEIGHTS, np.float32),
        "next_sentence_labels": np.array([[0], [1], [1], [0]], np.int32),
    }
    for row, (total, first) in enumerate(SEQUENCES):
        inputs["input_ids"][row, :total] = rng.integers(1, CONFIG["vocab_size"], total)
        inputs["input_mask"][row, :total] = 1
        inputs["segment_ids"][row, first:total] = 1

    config = modeling.BertConfig.from_dict(CONFIG)
    with tf.Graph().as_default(), session() as run:
        tf.set_random_seed(1)
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        model = modeling.BertModel(
            config=config,
            is_training=False,
            input_ids=tensors["input_ids"],
            input_mask=tensors["input_mask"],
            token_type_ids=tensors["segment_ids"],
        )
        masked_loss, _, masked_log_probs = run_pretraining.get_masked_lm_output(
            config,
            model.get_sequence_output(),
            model.get_embedding_table(),
            tensors["masked_positions"],
            tensors["masked_ids"],
            tensors["masked_weights"],
        )
        next_loss, _, next_log_probs = run_pretraining.get_next_sentence_output(
            config, model.get_pooled_output(), tensors["next_sentence_labels"]
        )
        outputs = {
            "embedding_output": model.get_embedding_output(),
            "pooled_output": model.get_pooled_output(),
            "masked_lm_logits": masked_log_probs.op.inputs[0],
            "masked_lm_log_probs": masked_log_probs,
            "masked_lm_loss": masked_loss,
            "next_sentence_logits": next_log_probs.op.inputs[0],
            "next_sentence_log_probs": next_log_probs,
            "next_sentence_loss": next_loss,
        }
        for index, layer in enumerate(model.get_all_encoder_layers()):
            outputs[f"layer_{index}"] = layer
        variables = tf.trainable_variables()
        gradients = tf.gradients(masked_loss + next_loss, variables)
        names = [variable.op.name for variable in variables]
        run.run(tf.global_variables_initializer())
        initial = dict(zip(names, run.run(variables), strict=True))
        values = {
            name: (rng.normal(name.endswith("gamma"), 0.2, variable.shape)).astype(np.float32)
            for name, variable in zip(names, variables, strict=True)
        }
        run.run([tf.assign(variable, values[variable.op.name]) for variable in variables])
        found = run.run([outputs, [tf.convert_to_tensor(gradient) for gradient in gradients]])
    return {
        **{f"inputs/{name}": value for name, value in inputs.items()},
        **{f"weights/{name}": value for name, value in values.items()},
        **{f"outputs/{name}": value for name, value in found[0].items()},
        **{f"gradients/{name}": value for name, value in zip(names, found[1], strict=True)},
        **{f"initial/{name}": value for name, value in initial.items() if value.ndim < 2},
        "initial_quantiles": np.quantile(
            np.concatenate([value.ravel() for value in initial.values() if value.ndim == 2]),
            np.linspace(0, 1, 201),
        ),
    }


def optimizer_numbers(optimization: ModuleType) -> dict[str, np.ndarray]:
    """Gradients that are given: of a loss that is their product with the variables.

    Google's graph does not say whether a step reads its learning rate before or after it counts
    itself: TensorFlow 2.21 counts first with one kind of variable and last with the other. So the
    rate is read before the step, which is what the code's comments describe, and given to it.
    """
    rng = np.random.default_rng(2)
    starts = {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in VARIABLES.items()}
    # The norm of all gradients together is some 6 times these: above 1 and far below it.
    scales = np.array([1, 0.1, 0.01, 10, 1e-6])[np.arange(STEPS) % 5]
    gradients = {
        name: np.stack([rng.normal(0, scale, shape) for scale in scales]).astype(np.float32)
        for name, shape in VARIABLES.items()
    }
    optimizer = optimization.AdamWeightDecayOptimizer
    apply = optimizer.apply_gradients
    rates: list[Any] = []

    def apply_and_note(self: Any, *arguments: Any, **settings: Any) -> Any:
        rates.append(self.learning_rate)
        return apply(self, *arguments, **settings)

    optimizer.apply_gradients = apply_and_note
    with tf.Graph().as_default(), session() as run:
        variables = {
            name: tf.get_variable(name, initializer=value) for name, value in starts.items()
        }
        given = {name: tf.placeholder(tf.float32, shape) for name, shape in VARIABLES.items()}
        loss = tf.add_n([tf.reduce_sum(variables[name] * given[name]) for name in VARIABLES])
        train = optimization.create_optimizer(loss, LEARNING_RATE, STEPS, WARMUP_STEPS, False)
        run.run(tf.global_variables_initializer())
        learning_rates, steps = [], []
        for step in range(STEPS):
            learning_rates.append(run.run(rates[0]))
            feeds = {given[name]: gradients[name][step] for name in VARIABLES}
            run.run(train, feeds | {rates[0]: learning_rates[-1]})
            steps.append(run.run(variables))
    return {
        "learning_rates": np.array(learning_rates),
        **{f"start/{name}": value for name, value in starts.items()},
        **{f"gradients/{name}": value for name, value in gradients.items()},
        **{f"values/{name}": np.stack([step[name] for step in steps]) for name in VARIABLES},
    }


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clone", type=Path, help="a clone of github.com/google-research/bert")
    parser.add_argument("--out", type=Path, default=OUT, help="default: %(default)s")
    arguments = parser.parse_args()
    modules = import_clone(arguments.clone, *MODULES)
    modeling, optimization, run_pretraining, tokenization, create = modules
    arguments.out.mkdir(parents=True, exist_ok=True)

    numbers = model_numbers(modeling, run_pretraining) | {"config": np.array(json.dumps(CONFIG))}
    np.savez_compressed(arguments.out / "model.npz", **numbers)
    np.savez_compressed(arguments.out / "optimizer.npz", **optimizer_numbers(optimization))
    corpus, made = pretraining_data(create, tokenization)
    np.savez_compressed(arguments.out / "corpus.npz", **corpus)
    (arguments.out / "pretraining_data.json").write_text(
        json.dumps(made, separators=(",", ":")) + "\n"
    )
    versions = {
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "sha256": {
            name: hashlib.sha256((arguments.clone / f"{name}.py").read_bytes()).hexdigest()
            for name in MODULES
        },
    }
    (arguments.out / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


if __name__ == "__main__":
    main()

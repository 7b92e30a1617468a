"""As much of TensorFlow 1 as Google's BERT code asks for, on top of TensorFlow 2.

Most of it is there as `tensorflow.compat.v1`. What is gone is written here anew: flags that may
be defined twice, the dense layer, and contrib's layer norm with its epsilon of 1e-12.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import tensorflow.compat.v1 as tf


class TensorFlow1(ModuleType):
    """What the clone's modules get for `import tensorflow`."""

    def __init__(self) -> None:
        super().__init__("tensorflow")
        self.flags = Flags()
        self.layers = SimpleNamespace(dense=dense)
        self.contrib = SimpleNamespace(layers=SimpleNamespace(layer_norm=layer_norm))

    def __getattr__(self, name: str) -> Any:
        return getattr(tf, name)


class Flags:
    """The scripts' settings; each holds its default until it is set."""

    def __init__(self) -> None:
        self.FLAGS = SimpleNamespace()

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("DEFINE_"):
            raise AttributeError(name)
        return lambda flag, default, _help: setattr(self.FLAGS, flag, default)


def dense(
    inputs: Any,
    units: int,
    activation: Any = None,
    name: str | None = None,
    kernel_initializer: Any = None,
) -> Any:
    """(N, I) → (N, `units`); the variables are `kernel` (I, units) and `bias`."""
    with tf.variable_scope(name, default_name="dense"):
        shape = [inputs.shape[-1], units]
        kernel = tf.get_variable("kernel", shape, initializer=kernel_initializer)
        bias = tf.get_variable("bias", [units], initializer=tf.zeros_initializer())
        outputs = tf.nn.bias_add(tf.matmul(inputs, kernel), bias)
    return activation(outputs) if activation else outputs


def layer_norm(
    inputs: Any, begin_norm_axis: int, begin_params_axis: int, scope: str | None = None
) -> Any:
    """Over the last axis; the variables are `beta` and `gamma`."""
    assert begin_norm_axis == begin_params_axis == -1
    with tf.variable_scope(scope, default_name="LayerNorm"):
        shape = [inputs.shape[-1]]
        beta = tf.get_variable("beta", shape, initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", shape, initializer=tf.ones_initializer())
        mean, variance = tf.nn.moments(inputs, [-1], keep_dims=True)
        return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-12)


def import_clone(clone: Path, *names: str) -> list[ModuleType]:
    """Import modules of a clone of Google's code."""
    tf.disable_v2_behavior()
    actual = sys.modules["tensorflow"]
    sys.path.insert(0, str(clone))
    # For as long as it takes to import them: TensorFlow has imports of its own to come.
    sys.modules["tensorflow"] = TensorFlow1()
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.modules["tensorflow"] = actual
        sys.path.remove(str(clone))

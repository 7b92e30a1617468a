"""How much arithmetic training takes, and which share of what a GPU could do that is.

Model FLOPs utilisation (Chowdhery et al. 2022, "PaLM", section 4.1 and appendix B): the arithmetic
that the model asks for, a multiplication and an addition counting as two, over the peak of the
device's dense products in bfloat16. What is computed again does not count, nor what lies between
the products, nor slots for masked tokens that are left over; the few tokens of padding at the end
of a packed batch do. A run with 8-bit products is measured against the same peak.

Dimension key: `H` hidden size, `F` intermediate size, `L` layers, `V` vocabulary.
"""

from __future__ import annotations

import torch

from bertsmith.config import BertConfig

# Dense bfloat16 products, FLOP/s, from NVIDIA's data sheets; the first part that a name has counts.
PEAKS = (
    ("B200", 2250e12),
    ("H200", 989.4e12),
    ("GH200", 989.4e12),
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989.4e12),
    ("A100", 312e12),
    ("A10", 125e12),
    ("L40S", 362e12),
    ("L4", 121e12),
)


def training_flops(config: BertConfig, tokens: int, squares: int, masked: int) -> float:
    """Forward and backward pass of a batch; the backward pass is two products for each.

    Args:
        config: the model's sizes.
        tokens: in all sequences.
        squares: the sum of the squares of the sequences' lengths, which attention takes.
        masked: tokens that the masked-LM head scores, 0 without one.
    """
    hidden, layers = config.hidden_size, config.num_hidden_layers
    layer = 4 * hidden**2 + 2 * hidden * config.intermediate_size  # weights
    head = hidden**2 + hidden * config.vocab_size
    forward = layers * (2 * layer * tokens + 4 * hidden * squares) + 2 * head * masked
    return 3.0 * forward


def peak_flops(device: torch.device) -> float | None:
    """FLOP/s that the device has at best; None where it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAKS if part in name), None)

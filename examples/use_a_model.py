"""Ask a pre-trained BERT for a masked word, and for the vectors of a sentence's wordpieces.

make demo && .venv/bin/python examples/use_a_model.py runs/demo/pretrained
"""

from __future__ import annotations

import sys

import torch

import bertsmith


def main(folder: str) -> None:
    """Ask the model in a folder."""
    loaded = bertsmith.load_model(folder)
    text = "The president of the United [MASK] said that he would sign the agreement."
    for candidate in bertsmith.fill_mask(loaded.model, loaded.tokenizer, text, top_k=3)[0]:
        print(f"{candidate.word:<12}{candidate.probability:.1%}")

    # A batch is sequences end to end, without padding; each sees itself alone.
    encodings = loaded.tokenizer.encode_batch(["The city is old.", "A war began."])
    batch = bertsmith.Batch.from_sequences([encoding.ids for encoding in encodings])
    with torch.no_grad():
        output = loaded.model.bert(batch)
    print(batch.cu_seqlens.tolist(), tuple(output.hidden_states.shape))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: use_a_model.py MODEL_FOLDER")
    main(sys.argv[1])

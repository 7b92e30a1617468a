"""Notice a masked language model that has learned nothing but how frequent wordpieces are.

Every BERT first learns the frequencies: its loss falls from ln V, where all wordpieces are alike
to it, to the corpus's unigram entropy, and rests there until attention begins to tell contexts
apart. A run that goes wrong stays there for ever, at a loss near 7, which looks like slow
progress to those who do not know the line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Below this distance from the line a model has begun to use context: 0.1 nats is several times
# what the loss of a few thousand held-out predictions wavers.
MARGIN_NATS = 0.1
# A fifth of the run, since warm-up is a tenth or less: at twice the warm-up the rate has been at
# its highest for as long as it took to rise. And 3 million tokens: 2 layers of 128 with 4,000
# wordpieces, on Wikipedia text, have left the line after 1.4 million with AdamW at 2e-3 and are
# just about to after 1.8 million at 3e-4. Both must have passed, or the whole run.
MIN_PROGRESS = 0.2
MIN_TOKENS = 3_000_000

USUAL_LEARNING_RATES = (5e-5, 5e-3)
USUAL_STEP_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a run of masked-LM pre-training is; losses in nats."""

    held_out_loss: float
    training_loss: float
    """On what the model was trained on last."""
    unigram_entropy: float
    """The loss of guessing by the training text's frequencies."""
    vocab_size: int
    progress: float
    """The part of the run that is over, from 0 to 1."""
    step: int
    tokens: int
    """Trained on so far."""
    learning_rate: float
    """The recipe's, before the schedule."""


def stall_warning(run: Standing) -> str | None:
    """Say that a run is stuck and why that may be; None while there is nothing to say."""
    is_due = (run.progress >= MIN_PROGRESS and run.tokens >= MIN_TOKENS) or run.progress >= 1
    if not is_due or run.held_out_loss <= run.unigram_entropy - MARGIN_NATS:
        return None
    intro = (
        f"held-out masked-LM loss is {run.held_out_loss:.2f} after {run.tokens:,} tokens "
        f"({run.progress:.0%} of the run), no better than guessing by frequency alone "
        f"({run.unigram_entropy:.2f})"
    )
    causes = _causes_seen(run)
    if causes:
        return f"{intro}; look first at: {'; '.join(causes)}"
    return (
        f"{intro}; usual causes: a learning rate too high or too low ({run.learning_rate:g}), too "
        "few tokens a step, repeated lines in the text, a vocabulary that does not fit it"
    )


def _causes_seen(run: Standing) -> list[str]:
    """Causes that the figures themselves point at."""
    causes = []
    uniform = math.log(run.vocab_size)
    if not run.held_out_loss <= uniform:  # NaN too
        causes.append(
            f"the loss is above ln {run.vocab_size} = {uniform:.2f}, that of knowing nothing: the "
            "learning rate is too high, or train and eval have different vocabularies"
        )
    if run.training_loss < run.unigram_entropy - 5 * MARGIN_NATS:
        causes.append(
            f"the training loss is down to {run.training_loss:.2f}: the text is too small or has "
            "many repeated lines, and is learned by heart"
        )
    low, high = USUAL_LEARNING_RATES
    if not low <= run.learning_rate <= high:
        word = "low" if run.learning_rate < low else "high"
        causes.append(
            f"the learning rate ({run.learning_rate:g}) is {word}; {low:g} to {high:g} is usual"
        )
    if run.tokens < USUAL_STEP_TOKENS * run.step:
        causes.append(
            f"a step has {run.tokens / run.step:,.0f} tokens on average, so that its gradient is "
            f"mostly noise; give it {USUAL_STEP_TOKENS:,} or more (train.batch_tokens, "
            "train.accumulation_steps)"
        )
    if run.tokens < MIN_TOKENS:
        causes.append(
            f"the run is too short to tell: small models need {MIN_TOKENS:,} tokens, larger ones "
            "more"
        )
    return causes

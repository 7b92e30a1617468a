"""Pre-training (paper, section 3.1 and appendix A.2), from a recipe to a model folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from bertsmith.data.loader import PretrainingBatches
from bertsmith.data.masking import Masking
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.data.wordpiece_ids import WordpieceIds
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.export.model_folder import load_pretrained
from bertsmith.ops.attention import HEAD_SIZES, auto, get_attention, triton, varlen
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task, task_class
from bertsmith.tasks.task import RecordTask, Task
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.curves import draw_curves
from bertsmith.training.distributed import Group, is_distributed
from bertsmith.training.evaluation import evaluate
from bertsmith.training.fp8_layers import use_fp8
from bertsmith.training.held_out import Evaluated, HeldOut
from bertsmith.training.outcome import Outcome
from bertsmith.training.parallelize import choose_precision
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.run import Start, start_run, train
from bertsmith.training.stages import Stage
from bertsmith.training.stall import Standing, stall_warning

# Held-out pairs and masks are drawn with this seed and at this rate, the published one, whatever
# the run's, so that runs compare.
HELD_OUT_SEED = 0
HELD_OUT_MASKED_PROB = 0.15


@dataclass(frozen=True)
class Pretrained:
    """What came of a pre-training run."""

    outcome: Outcome
    unigram_entropy: float
    """Loss (nats) of guessing by the training corpus's frequencies."""
    vocab_size: int


def pretrain(recipe: PretrainRecipe, *, resume: bool = False) -> Pretrained:
    """Run a recipe to its end, or go on with a run that was interrupted.

    Raises:
        BertsmithError: when recipe, corpus or checkpoint cannot work; before anything is trained.
    """
    data = recipe.data
    if recipe.train.shard_model and not is_distributed():
        raise ConfigError(
            "train.shard_model = true needs several processes to deal the model out to; start them "
            "with torchrun --nproc-per-node, or set it to false"
        )
    corpus = TokenizedCorpus.open(data.train)
    held_out_corpus = None
    if data.eval is not None:
        held_out_corpus = TokenizedCorpus.open(
            data.eval, vocabulary_sha256=corpus.vocabulary_sha256
        )
    tokenizer = Tokenizer.load(data.train)
    with start_run(recipe, resume=resume) as start:
        return _pretrain(start, recipe, corpus, held_out_corpus, tokenizer)


def _pretrain(
    start: Start,
    recipe: PretrainRecipe,
    corpus: TokenizedCorpus,
    held_out_corpus: TokenizedCorpus | None,
    tokenizer: Tokenizer,
) -> Pretrained:
    data, settings = recipe.data, recipe.train
    batches_of = _batches_of(recipe, WordpieceIds.of(tokenizer))
    model, tokenizer = _build_model(recipe, corpus, tokenizer)
    of_corpus = partial(batches_of, corpus, settings.seed, start.group)
    has_one_shape = _reads_packed(recipe, start, model)
    stages = _stages(recipe, of_corpus, has_one_shape=has_one_shape)
    if settings.precision == "fp8":
        use_fp8(model.bert, start.device)
    entropy = unigram_entropy(corpus.unigram_counts(), (held_out_corpus or corpus).unigram_counts())

    said: list[str] = []

    def remark(evaluated: Evaluated) -> str | None:
        """Warn once when the model has learned frequencies and nothing else."""
        warning = None if said else _stall(recipe, entropy, corpus.vocab_size, evaluated)
        said.extend([warning] if warning else [])
        return warning

    held_out = None
    if held_out_corpus is not None:
        # All of it in every process: that takes no longer than to wait for the first one.
        held_out_source = batches_of(
            held_out_corpus, HELD_OUT_SEED, Group(), masked_prob=HELD_OUT_MASKED_PROB
        )
        count = -(-data.eval_tokens // settings.batch_tokens)

        def measure(model: BertForTasks, device: torch.device, precision: str) -> dict[str, float]:
            batches = held_out_source.evaluation_batches(count)
            return evaluate(model, batches, device, precision=precision)

        held_out = HeldOut(measure, "loss", higher_is_better=False, remark=remark)
    outcome = train(
        start,
        recipe,
        model,
        tokenizer,
        stages,
        held_out,
        settings.steps,
        cuda_graphs=settings.cuda_graphs and has_one_shape,
        is_sharded=settings.shard_model,
    )
    if start.group.is_first:
        draw_curves(
            settings.output / "metrics.jsonl",
            settings.output / "curves.png",
            vocab_size=corpus.vocab_size,
            unigram_entropy=entropy,
            kept_step=outcome.state.best_step,
        )
    return Pretrained(outcome, entropy, corpus.vocab_size)


def _stall(
    recipe: PretrainRecipe, entropy: float, vocab_size: int, evaluated: Evaluated
) -> str | None:
    if "masked_lm_loss" not in evaluated.held_out:
        return None
    loss = evaluated.held_out["masked_lm_loss"]
    standing = Standing(
        held_out_loss=loss,
        training_loss=evaluated.training.get("masked_lm_loss", loss),
        unigram_entropy=entropy,
        vocab_size=vocab_size,
        progress=evaluated.progress,
        step=evaluated.state.step,
        tokens=evaluated.state.tokens,
        learning_rate=recipe.optimizer.learning_rate,
    )
    return stall_warning(standing)


def unigram_entropy(train_counts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> float:
    """Mean cross-entropy (nats) of wordpieces under the training corpus's frequencies.

    Args:
        train_counts: (V,) how often each wordpiece occurs there; one is added to each.
        counts: (V,) of the text that is guessed at.
    """
    smoothed = train_counts + 1.0
    return float(-(counts / counts.sum()) @ np.log(smoothed / smoothed.sum()))


def _reads_packed(recipe: PretrainRecipe, start: Start, model: BertForTasks) -> bool:
    """Whether the model is compiled and attends to packed sequences.

    Then room for sequences that are not there, and for tokens that they do not have, costs next to
    nothing; elsewhere it is padding.
    """
    settings, attention = recipe.train, get_attention(recipe.model.attention)
    config = model.config
    size = config.hidden_size // config.num_attention_heads
    is_packed = attention is varlen or (attention in (auto, triton) and size in HEAD_SIZES)
    is_half = choose_precision(settings.precision, start.device) != "fp32"
    return settings.compile and start.device.type == "cuda" and is_half and is_packed


def _stages(
    recipe: PretrainRecipe, batches_of: Callable[..., PretrainingBatches], *, has_one_shape: bool
) -> list[Stage]:
    """The sources of a run in turn.

    With `has_one_shape` all batches have the same: to compile a model again would take as long as
    hundreds of steps.
    """
    data = recipe.data
    if data.short_seqlen is None:
        return [Stage(batches_of())]
    if has_one_shape:
        short = batches_of(example_seqlen=data.short_seqlen)
        long = batches_of(min_sequences=short.max_sequences)
    else:
        short, long = batches_of(max_seqlen=data.short_seqlen), batches_of()
    return [Stage(short, data.short_proportion), Stage(long)]


def _batches_of(recipe: PretrainRecipe, ids: WordpieceIds) -> Callable[..., PretrainingBatches]:
    data = recipe.data
    is_paired = "next_sentence" in recipe.tasks
    is_masked = reads_masked(recipe.tasks)

    def batches_of(
        corpus: TokenizedCorpus,
        seed: int,
        group: Group,
        *,
        masked_prob: float = data.masked_prob,
        **shape: int,
    ) -> PretrainingBatches:
        return PretrainingBatches(
            corpus,
            ids,
            budget_tokens=recipe.train.batch_tokens,
            seed=seed,
            objective="sentence_pairs" if is_paired else "full_segments",
            single_segment_prob=data.single_segment_prob if is_paired else 0.0,
            masking=Masking(
                masked_prob=masked_prob,
                mask_token_prob=data.mask_token_prob,
                random_token_prob=data.random_token_prob,
                whole_word=data.whole_word,
            ),
            is_masked=is_masked,
            rank=group.rank,
            world_size=group.size,
            **{"max_seqlen": data.max_seqlen} | shape,
        )

    return batches_of


def reads_masked(tasks: Sequence[str]) -> bool:
    """Whether the objectives ask for batches in which wordpieces are hidden.

    Raises:
        ConfigError: one asks for such, and another for all as they are.
    """
    shown = {kind: name for name in tasks if (kind := task_class(name).shown) is not None}
    if len(shown) > 1:
        raise ConfigError(
            f"tasks names {shown['masked']}, for which wordpieces are hidden, and "
            f"{shown['whole']}, which reads all of them; they cannot share a batch, so remove one"
        )
    return "whole" not in shown


def _build_model(
    recipe: PretrainRecipe, corpus: TokenizedCorpus, tokenizer: Tokenizer
) -> tuple[BertForTasks, Tokenizer]:
    """A new model of the recipe's size, or the one it starts from with the published heads."""
    settings = recipe.model
    tasks = [_build_objective(name) for name in recipe.tasks]
    attention = get_attention(settings.attention)
    if settings.init is None:
        config = settings.config(tokenizer.vocab_size)
        try:
            return BertForTasks(config, tasks, attention=attention), tokenizer
        except RuntimeError as error:  # PyTorch's of memory that cannot be had
            reason = str(error).partition("\n")[0]
            raise ConfigError(
                f"a model of these sizes ({config.hidden_size} wide, {config.vocab_size} "
                f"wordpieces, {config.max_position_embeddings} positions, "
                f"{config.num_hidden_layers} layers) does not fit into memory: {reason}"
            ) from None
    loaded = load_pretrained(settings.init, tasks, attention=attention, **settings.published())
    if loaded.tokenizer.vocabulary.sha256 != corpus.vocabulary_sha256:
        raise CheckpointError(
            f"{corpus.path} was prepared with another vocabulary than the one in {settings.init}; "
            f"prepare the text again with --vocab {settings.init}"
        )
    recipe.check_sizes(loaded.model.config)
    # Pre-training reads whole positions, however short a task on the way has cut its texts.
    return loaded.model, loaded.tokenizer.with_max_length(None)


def _build_objective(name: str) -> Task:
    if issubclass(task_class(name), RecordTask):
        raise ConfigError(
            f"{name} is learned from labelled records; run it with `bertsmith finetune`"
        )
    return build_task(name)

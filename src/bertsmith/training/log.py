"""What a run says while it trains: metrics.jsonl, TensorBoard's files, a progress bar on stderr."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from tqdm import tqdm

from bertsmith.errors import ConfigError
from bertsmith.training.metrics_file import drop_after, metrics_line
from bertsmith.training.settings import Count, Settings

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

# Where stderr is a file or a pipe the bar gives way to this many lines over the run.
PLAIN_LINES = 20
EVERY_STEPS, LINES_A_RUN = 50, 25
_BAR = "{percentage:3.0f}% |{bar:20}| {elapsed}<{remaining}{postfix}"


@dataclass(frozen=True, kw_only=True)
class LogSettings(Settings):
    """The `[log]` section."""

    every_steps: Count | None = None
    """How often training figures are written; where not set, at every 50th step, and in a run of
    fewer than 1,250 steps 25 times."""
    tensorboard: bool = False
    """Write TensorBoard's event files too, beside metrics.jsonl."""

    def interval(self, steps: int | None) -> int:
        """Steps from one line to the next, in a run of this length; None: it is a time."""
        if self.every_steps is not None:
            return self.every_steps
        return EVERY_STEPS if steps is None else max(1, min(EVERY_STEPS, steps // LINES_A_RUN))


class Log:
    """What the loop tells while it runs; one such as this keeps and shows nothing of it."""

    def advance(self, progress: float) -> None:
        """Take note of the part of the run that is over, from 0 to 1; called at every step."""

    def say(self, text: str) -> None:
        """Take a sentence for the user."""

    def restart(self, elapsed_seconds: float) -> None:
        """Measure speed from here on: what has gone by since the last line was no training."""

    def write(
        self,
        split: Literal["train", "eval"],
        *,
        step: int,
        progress: float,
        tokens: int,
        elapsed_seconds: float,
        figures: Mapping[str, float],
    ) -> None:
        """Take figures; see `RunLog.write`."""


class RunLog(Log):
    """The log of one run; used as a context, so that its files are closed whatever happens.

    Args:
        folder: gets metrics.jsonl and, when asked for, tensorboard/.
        settings: the recipe's.
        resumed_step: the step that the run goes on from; what the log has beyond it is dropped,
            since the run will write it again. 0 starts a new log.
        progress: the part of the run that is over already, from 0 to 1.

    Raises:
        ConfigError: when TensorBoard is asked for and not installed.
        DataError: when the metrics.jsonl to go on with is damaged before its last line.
    """

    def __init__(
        self, folder: Path, settings: LogSettings, *, resumed_step: int = 0, progress: float = 0.0
    ) -> None:
        self._tensorboard = None
        if settings.tensorboard:
            self._tensorboard = _summary_writer(folder / "tensorboard", resumed_step)
        self._path = folder / "metrics.jsonl"
        kept = drop_after(self._path, resumed_step)
        self._file = self._path.open("a", encoding="utf-8")
        # Speed is measured from line to line, or from where an evaluation has ended.
        self._tokens, self._elapsed = 0, 0.0
        if kept:
            self._tokens = kept[-1].get("tokens", 0)
            self._elapsed = kept[-1].get("elapsed_seconds", 0.0)
        self._lines_shown = int(progress * PLAIN_LINES)
        self._bar = tqdm(
            total=1.0,
            initial=progress,
            disable=not sys.stderr.isatty(),
            bar_format=_BAR,
            dynamic_ncols=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close the files and leave the bar standing."""
        self._file.close()
        self._bar.close()
        if self._tensorboard is not None:
            self._tensorboard.close()

    def advance(self, progress: float) -> None:
        """Move the bar; costs next to nothing, so that every step may call it."""
        self._bar.update(progress - self._bar.n)

    def say(self, text: str) -> None:
        """Show a sentence without disturbing the bar."""
        tqdm.write(text, file=sys.stderr)

    def restart(self, elapsed_seconds: float) -> None:
        """Measure speed from here on."""
        self._elapsed = elapsed_seconds

    def write(
        self,
        split: Literal["train", "eval"],
        *,
        step: int,
        progress: float,
        tokens: int,
        elapsed_seconds: float,
        figures: Mapping[str, float],
    ) -> None:
        """Write a line to every log.

        Args:
            split: which examples the figures are of.
            step: optimizer steps done.
            progress: the part of the run that is over, from 0 to 1.
            tokens: trained on so far, over all parts of a resumed run.
            elapsed_seconds: likewise.
            figures: losses, accuracies, learning rate and whatever else is a number.
        """
        figures = dict(figures)
        seconds = elapsed_seconds - self._elapsed
        if split == "train" and seconds > 0:
            figures["tokens_per_second"] = (tokens - self._tokens) / seconds
        self._tokens, self._elapsed = tokens, elapsed_seconds
        place = {"step": step, "tokens": tokens, "elapsed_seconds": round(elapsed_seconds, 3)}
        if not self._path.exists():
            self._begin_anew()
        self._file.write(metrics_line({"split": split} | place | figures))
        self._file.flush()
        if self._tensorboard is not None:
            for name, value in figures.items():
                self._tensorboard.add_scalar(f"{name}/{split}", value, step)
        self._show(split, step, progress, figures)

    def _begin_anew(self) -> None:
        """Go on where a user has removed the file, or the run's whole folder."""
        self._file.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a", encoding="utf-8")
        self.say(f"{self._path} has been removed during the run; it begins anew")

    def _show(self, split: str, step: int, progress: float, figures: dict[str, float]) -> None:
        """Evaluations stay on the screen; training figures replace each other in the bar."""
        if split == "eval":
            # Those of a part, such as `person/f1`, are many, and in the file.
            shown = {name: value for name, value in figures.items() if "/" not in name}
            tqdm.write(f"step {step:,} held-out {_text(shown)}", file=sys.stderr)
            return
        text = _text({name: figures[name] for name in figures if _fits_bar(name)})
        if not self._bar.disable:
            self._bar.set_postfix_str(text, refresh=False)
        elif int(progress * PLAIN_LINES) > self._lines_shown:
            self._lines_shown = int(progress * PLAIN_LINES)
            remaining = tqdm.format_interval(self._elapsed * (1 - progress) / progress)
            tqdm.write(f"step {step:,} {text} {remaining} to go", file=sys.stderr)


def _fits_bar(name: str) -> bool:
    return name in ("loss", "tokens_per_second", "mfu") or name.endswith("accuracy")


def _text(figures: Mapping[str, float]) -> str:
    """Figures in a line, such as `loss 4.210, MLM accuracy 0.312, 41,300 tokens/s, MFU 45 %`."""
    figures = dict(figures)
    speed, share = figures.pop("tokens_per_second", None), figures.pop("mfu", None)
    named = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items()]
    named += [] if speed is None else [f"{speed:,.0f} tokens/s"]
    named += [] if share is None else [f"MFU {share:.0%}".replace("%", " %")]
    return ", ".join(named).replace("masked lm", "MLM").replace("next sentence", "NSP")


def _summary_writer(folder: Path, resumed_step: int) -> SummaryWriter:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError(
            "log.tensorboard needs a package that is not installed; "
            "pip install bertsmith[tensorboard], or set it to false"
        ) from None
    # TensorBoard hides what an interrupted run wrote for this step and later ones.
    return SummaryWriter(str(folder), purge_step=resumed_step + 1)

"""A first signal is noted, a second one acts, and afterwards all is as it was."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from bertsmith.training.signals import SIGNALS, StopSignals


@pytest.fixture(autouse=True)
def hear_interrupts() -> Iterator[None]:
    """A shell that puts the tests into the background has them ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_the_program_goes_on(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with StopSignals() as signals:
        assert signals.received is None
        os.kill(os.getpid(), number)
        assert signals.received == number
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_a_second_signal_acts_as_it_would_have() -> None:
    with pytest.raises(KeyboardInterrupt), StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)


def test_an_error_inside_leaves_the_handlers_as_they_were() -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(ZeroDivisionError), StopSignals():
        _ = 1 / 0
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_outside_the_main_thread_nothing_is_noted() -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    during = []

    def run() -> None:
        with StopSignals():
            during.extend(signal.getsignal(each) for each in SIGNALS)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert during == before

"""SIGINT and SIGTERM as a wish that the training loop grants between two steps."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any

from tryon.distributed import largest, processes

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_log = logging.getLogger(__name__)


class StopRequest:
    """Notes the first SIGINT or SIGTERM while it is entered; a second one acts as it would without.

    Of several processes the second one is noted too: the same wish reaches each once from who asks and once from
    torchrun, which ends by itself those that do not follow.

    Outside the main thread, where Python takes no signals, it notes nothing.
    """

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def agreed(self) -> bool:
        """Whether to stop, the same answer in all processes, which must all ask: one that got the signal is enough."""
        number = largest(self._signal or 0)
        if number:
            self._signal = signal.Signals(number)
        return bool(number)

    def grant(self, done: str) -> None:
        """End as asked, if asked: SIGTERM by SystemExit(0), SIGINT by KeyboardInterrupt. ``done`` says what is kept."""
        if not self.agreed() or self._signal is None:
            return
        _log.info("stopped by %s, %s", self._signal.name, done)
        raise KeyboardInterrupt if self._signal == signal.SIGINT else SystemExit(0)

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number)
        if processes() == 1:
            self.__exit__()

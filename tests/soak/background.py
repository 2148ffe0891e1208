"""What goes on beside a block of code, in a thread, for as long as the block lasts."""

import threading
from abc import ABC, abstractmethod
from typing import Self


class Background(ABC):
    """`_run` is to return soon after `_stopping` is set."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @abstractmethod
    def _run(self) -> None: ...

    def stop(self) -> None:
        """Stop after what is under way. May be repeated."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

"""What writers to services of others have in common."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from detectron2.utils.events import EventStorage, EventWriter, get_event_storage

from ...visualization import Picture

# Names, and (H, W, 3) RGB.
Pictures = Sequence[tuple[str, Picture]]

_LOGGER = logging.getLogger(__name__)


def new_scalars(storage: EventStorage, since: int, window: int) -> tuple[dict[str, float], int]:
    """What is new in a storage, noisy values as their median.

    Args:
        storage: of the training.
        since: the iteration that was written last.
        window: values of which the median is taken.

    Returns:
        values by name, and the newest iteration that one is of; ``since`` where nothing is new.
    """
    latest = storage.latest_with_smoothing_hint(window)
    new = {name: (value, at) for name, (value, at) in latest.items() if at > since}
    return {name: value for name, (value, _) in new.items()}, max(
        (at for _, at in new.values()), default=since
    )


class Tracker(EventWriter):
    """A run of a service. Where that fails in the course of a training, it is said, and the training goes on
    without it; metrics.json has all numbers.

    Args:
        window: see :func:`new_scalars`.
    """

    def __init__(self, window: int = 20):
        self._window = window
        self._last_write = -1
        self._failed = False

    @abstractmethod
    def start(self, run: int) -> None:
        """Begin a run, or go on with the one of this number, before the first :meth:`write`.

        Raises:
            ConfigError: the service cannot be used.
        """

    @abstractmethod
    def send(self, scalars: dict[str, float], pictures: Pictures, iteration: int) -> None:
        """Hand numbers and pictures on."""

    @abstractmethod
    def finish(self) -> None:
        """End the run, so that all of it is there."""

    def write(self) -> None:
        storage = get_event_storage()
        scalars, iteration = new_scalars(storage, self._last_write, self._window)
        self._last_write = iteration
        # As Detectron2's writer for TensorBoard: there is no other way to them.
        pictures = [(name, np.moveaxis(picture, 0, -1)) for name, picture, _ in storage._vis_data]
        if scalars or pictures:
            self._carefully(lambda: self.send(scalars, pictures, iteration))

    def close(self) -> None:
        self._carefully(self.finish)

    def _carefully(self, work: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            work()
        except Exception:
            self._failed = True
            _LOGGER.exception("%s gets nothing more of this training, which goes on", type(self).__name__)

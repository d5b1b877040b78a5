"""The objects of a video, followed from frame to frame by the library ``trackers``."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from detectron2.structures import Instances

from .interchange import of_extra

# Objects of such a score are looked at where a track needs one (Zhang et al., ByteTrack, 2022).
_LOWEST = 0.1
# The id of an object that belongs to no track.
NO_TRACK = -1


class Tracks:
    """Called with the objects of one frame after the other, gives each the id of its track.

    It is ByteTrack, for each class by itself: sure objects start tracks, and less sure ones may continue
    them. A track that sees nothing for a second ends.

    Args:
        fps: frames a second.
        confidence: score from which on an object is sure.

    Raises:
        UserError: the package trackers is missing.
    """

    def __init__(self, fps: float, confidence: float) -> None:
        self._supervision = of_extra("supervision", "track")
        self._confidence = confidence
        self.lowest = min(_LOWEST, confidence)
        self._new_tracker = partial(
            of_extra("trackers", "track").ByteTrackTracker,
            frame_rate=fps,
            track_activation_threshold=confidence,
            high_conf_det_threshold=confidence,
        )
        self._trackers: dict[int, Any] = {}
        self._ids: dict[tuple[int, int], int] = {}  # by class and its tracker's own ids

    def __call__(self, instances: Instances) -> Instances:
        """The sure objects and those of tracks, with ``track_ids`` (n,) int64.

        An object has its track's id, from 1 on, from the second frame on that sees it, and before -1.

        Args:
            instances: of a frame, with scores from ``lowest`` on.
        """
        instances = instances[instances.scores >= self.lowest]
        classes = instances.pred_classes.numpy(force=True).astype(int)
        boxes, scores = (x.numpy(force=True) for x in (instances.pred_boxes.tensor, instances.scores))
        ids = torch.full((len(instances),), NO_TRACK, dtype=torch.int64)
        for kind in sorted({*classes.tolist(), *self._trackers}):  # those that see nothing, too
            tracker = self._trackers.setdefault(kind, self._new_tracker())
            rows = np.flatnonzero(classes == kind)
            given = (boxes[rows], None, scores[rows], classes[rows])
            tracked = tracker.update(self._supervision.Detections(*given, data={"row": rows}))
            for row, own in zip(tracked.data.get("row", ()), tracked.tracker_id, strict=True):
                if own >= 0:
                    ids[row] = self._ids.setdefault((kind, int(own)), len(self._ids) + 1)
        instances.track_ids = ids
        return instances[(instances.scores >= self._confidence) | (ids != NO_TRACK)]

"""The objects of a video, followed from frame to frame by the library ``trackers``."""

from __future__ import annotations

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

    It is ByteTrack: sure objects start tracks, and less sure ones may continue them, whatever their class.
    A track that sees nothing for a second ends.

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
        self._tracker = of_extra("trackers", "track").ByteTrackTracker(
            frame_rate=fps, track_activation_threshold=confidence, high_conf_det_threshold=confidence
        )

    def __call__(self, instances: Instances) -> Instances:
        """The sure objects and those of tracks, with ``track_ids`` (n,) int64.

        An object has its track's id from the second frame on that sees it, and before -1.

        Args:
            instances: of a frame, with scores from ``lowest`` on.
        """
        instances = instances[instances.scores >= self.lowest]
        rows = np.arange(len(instances))
        tracked = self._tracker.update(
            self._supervision.Detections(
                xyxy=instances.pred_boxes.tensor.numpy(force=True),
                confidence=instances.scores.numpy(force=True),
                class_id=instances.pred_classes.numpy(force=True).astype(int),
                data={"row": rows},
            )
        )
        ids = torch.full((len(instances),), NO_TRACK, dtype=torch.int64)
        if len(tracked):
            ids[torch.from_numpy(tracked.data["row"])] = torch.from_numpy(tracked.tracker_id.astype(np.int64))
        instances.track_ids = ids
        return instances[(instances.scores >= self._confidence) | (ids != NO_TRACK)]

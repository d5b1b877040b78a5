"""Images and videos one after the other: found in, drawn, written and told."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..errors import DataError, UserError
from ..progress import progress, say
from ..visualization import ImageAttention, Picture, describe_result, draw_result, write_picture
from .coco_results import CocoResults
from .finder import Finder
from .sources import Source
from .tracks import Tracks
from .videos import Video, VideoFile, open_video

# Draws where the model looked, and says what that is.
DrawAttention = Callable[[Picture, ImageAttention], tuple[Picture, str]]


class Work:
    """What is done with the sources of one command.

    Args:
        finder: has the model.
        results: gathers what is found, where a json is wanted.
        failures: gets what is wrong with sources, which are then passed over.
        downloads: folder for them.
        total: number of sources, for what is told.
    """

    def __init__(
        self,
        finder: Finder,
        results: CocoResults | None,
        failures: list[UserError],
        downloads: Path,
        total: int,
    ) -> None:
        self._finder, self._results, self._failures = finder, results, failures
        self._downloads, self._total = downloads, total
        self._told = 0
        self._frame_ids: Iterator[int] | None = None

    def images(self, sources: Sequence[Source], draw: DrawAttention | None = None) -> None:
        """Draw what is found in images or, with ``draw``, where the model looked.

        Raises:
            UserError: a picture cannot be drawn or written.
        """
        self._frame_ids = itertools.count(len(sources) + 1)
        metadata, shown = self._finder.metadata, progress(sources, "Images")
        for found in self._finder.in_images(shown, self._downloads, self._failures, watch=draw is not None):
            count, what = describe_result(found.result)
            words, target = f"{count} {what}", found.source.target
            if target is not None:
                if draw is None or found.attention is None:
                    picture = draw_result(found.image, found.result, metadata, detail=self._finder.detail)
                else:
                    picture, words = draw(found.image, found.attention)
                write_picture(picture, target)
            if self._results is not None:
                self._results.add(found.source.image_id, {"file_name": found.source.name}, found.result)
            self._tell(found.source, words, found.seconds)

    def video(
        self,
        source: Source,
        camera: int | None = None,
        tracked_from: float | None = None,
        limit: int | None = None,
    ) -> None:
        """Write a video with what is found in the frames of another, at its size and speed.

        Ctrl-C ends a camera's, which is then written as far as it goes.

        Args:
            source: of the video.
            camera: its number, where it is no file.
            tracked_from: score of the objects that start tracks; None: objects are not followed.
            limit: of the number of frames.

        Raises:
            UserError: the video cannot be written.
        """
        start = time.perf_counter()
        try:
            file = source.local(self._downloads) if camera is None else camera
        except UserError as error:
            self._failures.append(error)
            return
        try:
            with open_video(file, source.name) as video:
                frames, found, what = self._frames(source, video, camera is not None, tracked_from, limit)
                if not frames:
                    raise DataError(f"{source.name} has no frame that can be read")
        except DataError as error:
            self._failures.append(error)
            return
        finally:
            source.forget(str(file))
        self._tell(source, f"{found} {what} in {frames} frames", time.perf_counter() - start)

    def _frames(
        self, source: Source, video: Video, until_stopped: bool, tracked_from: float | None, limit: int | None
    ) -> tuple[int, int, str]:
        """Draw and write frames; how many there were, and how many of what was found in all of them."""
        tracks = None if tracked_from is None else Tracks(video.fps, tracked_from)
        count = video.count if limit is None else min(limit, video.count or limit)
        pictures = itertools.islice(progress(video, source.name, count), limit)
        done, total, what = 0, 0, "objects"
        with nullcontext() if source.target is None else VideoFile(source.target, video.fps) as output:
            try:
                for image, result in self._results_of(pictures, tracks):
                    if output is not None:
                        size, detail = max(image.shape[:2]), self._finder.detail
                        metadata = self._finder.metadata
                        output.write(draw_result(image, result, metadata, size=size, detail=detail))
                    if self._results is not None and self._frame_ids is not None:
                        name = {"file_name": source.name, "frame": done}
                        self._results.add(next(self._frame_ids), name, result)
                    found, what = describe_result(result)
                    done, total = done + 1, total + found
            except KeyboardInterrupt:
                if not until_stopped:
                    raise
        return done, total, what

    def _results_of(
        self, images: Iterable[Picture], tracks: Tracks | None
    ) -> Iterator[tuple[Picture, dict[str, Any]]]:
        """Frames with their results, which go through the model in batches."""
        images = iter(images)
        lowest = None if tracks is None else tracks.lowest
        while batch := list(itertools.islice(images, self._finder.at_once)):
            for image, result in zip(batch, self._finder(batch, lowest), strict=True):
                if tracks is not None:
                    result["instances"] = tracks(result["instances"])
                yield image, result

    def _tell(self, source: Source, what: str, seconds: float) -> None:
        self._told += 1
        drawn = "" if source.target is None else f", drawn in {source.target}"
        say(f"[{self._told}/{self._total}] {source.name}: {what} in {seconds:.2f} s{drawn}")

"""What is shown of images: found by a model, whole or in slices, and of a score that counts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from ..data.images import image_header, read_image, reading_options
from ..errors import UserError
from ..visualization import ImageAttention, Picture, watch_attention
from .classes import class_metadata
from .model import ImagePredictor
from .sources import Source
from .tiles import Tiles

Result = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What was found in the image of a source.

    Attributes:
        image: (H, W, 3) RGB.
        result: see :class:`Finder`.
        attention: where it was watched.
        seconds: that it took; of images that went through the model together, their share.
    """

    source: Source
    image: Picture
    result: Result
    attention: ImageAttention | None
    seconds: float


class Finder:
    """Called with images, gives the results of :class:`ImagePredictor` without objects of a low score.

    Attributes:
        predict: has the model.
        metadata: names and colors of its classes, and their category ids where they are known.
        panoptic: whether it gives segments.
        at_once: images, or slices of one image, that go through the model together.
        detail: side of a slice in pixels, or None.
    """

    def __init__(
        self, cfg: CfgNode, confidence: float, at_once: int = 1, tiles: Tiles | None = None, ids: bool = False
    ) -> None:
        """
        Args:
            cfg: of :func:`~.model.inference_config`.
            confidence: lowest score of the objects.
            at_once: images, or slices of one image, that go through the model together.
            tiles: look for objects in slices.
            ids: category ids are wanted.

        Raises:
            UserError: the model cannot be built, or has no objects to look for in slices.
        """
        self.predict = ImagePredictor(cfg)
        self.metadata = class_metadata(cfg, self.predict.class_names, self.predict.stuff_names, ids)
        self.panoptic: bool = cfg.MODEL.DETR.TEST.PANOPTIC_ON and cfg.MODEL.MASK_ON
        self._confidence, self.at_once, self._tiles = confidence, at_once, tiles
        self.detail = None if tiles is None else tiles.size
        self._reading_options = reading_options(cfg)

    def __call__(self, images: Sequence[Picture], confidence: float | None = None) -> list[Result]:
        """The results of images; an own ``confidence`` takes the place of the finder's."""
        least = self._confidence if confidence is None else confidence
        if self._tiles is not None:
            tiled = (self._tiles(self.predict, image, least, self.at_once) for image in images)
            return [{"instances": instances} for instances in tiled]
        results = self.predict.batch([self.predict.sample(image) for image in images], self.at_once)
        for result in results:
            if "instances" in result:
                result["instances"] = result["instances"][result["instances"].scores >= least]
        return results

    def in_images(
        self, sources: Iterable[Source], folder: Path, failures: list[UserError], watch: bool = False
    ) -> Iterator[Found]:
        """What is found in image files, in batches of one size.

        Args:
            sources: of images. Those of another size than the ones before wait for more of theirs.
            folder: for downloads; they are removed as soon as they have been read.
            failures: gets what is wrong with files that are not there or cannot be read.
            watch: note the attention, one image at a time.
        """
        at_once = 1 if watch or self._tiles is not None else self.at_once
        for batch in self._of_one_size(sources, folder, failures, at_once):
            read = [(source, self._read(source, file, failures)) for source, file in batch]
            images = [(source, image) for source, image in read if image is not None]
            if not images:
                continue
            start = time.perf_counter()
            with watch_attention(self.predict.model) if watch else nullcontext() as watched:
                results = self([image for _, image in images])
            seconds = (time.perf_counter() - start) / len(images)
            for (source, image), result in zip(images, results, strict=True):
                attention = None if watched is None else watched.image()
                yield Found(source, image, result, attention, seconds)

    def _of_one_size(
        self, sources: Iterable[Source], folder: Path, failures: list[UserError], at_once: int
    ) -> Iterator[list[tuple[Source, str]]]:
        """Sources with their files, by sizes of the images; only the files' headers are read here."""
        waiting: dict[tuple[int, int], list[tuple[Source, str]]] = {}
        for source in sources:
            try:
                file = source.local(folder)
            except UserError as error:
                failures.append(error)
                continue
            try:
                header = image_header(file, self._reading_options["max_pixels"])
            except UserError as error:
                failures.append(source.own(error, file))
                continue
            batch = waiting.setdefault((header.height, header.width), [])
            batch.append((source, file))
            if len(batch) >= at_once:
                yield waiting.pop((header.height, header.width))
        yield from waiting.values()

    def _read(self, source: Source, file: str, failures: list[UserError]) -> Picture | None:
        """The image, (H, W, 3) RGB; None where it is damaged."""
        try:
            return read_image(file, "RGB", **self._reading_options)
        except UserError as error:
            failures.append(source.own(error, file))
            return None
        finally:
            source.forget(file)

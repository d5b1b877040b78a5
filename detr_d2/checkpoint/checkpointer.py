"""Detectron2's checkpointer, made safe against interruption and able to read the known layouts."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import Tensor, nn

from ..errors import CheckpointError, MissingFileError
from .atomic import write_file
from .convert import UnknownLayout, convert
from .imagenet import place_backbone
from .layouts import DETECTOR, HEAD, LAYOUTS, OURS, class_list
from .safe_load import copy_versions, read_checkpoint, weights_key, weights_of
from .transfer import Fitted, fit, wrong_shapes

_HEURISTICS = "matching_heuristics"


class DetrCheckpointer(DetectionCheckpointer):
    """Saves and loads a model with its training state.

    A file is complete or not there: it is written beside its place and moved when it is on the disk.
    Files are read without running what is in them, and those of the known layouts (:mod:`~.layouts`) are
    converted before shapes are compared. The class head and the object queries are fitted to the model
    (:func:`~.transfer.fit`). A file that does not suit a DETR is refused before anything is loaded.

    Args:
        model: may be wrapped for distributed training.
        save_dir: folder of the checkpoints.
        save_to_disk: False writes nothing; by default only the main process writes.
        weights: gives the weights to save in place of the model's own, e.g. averaged ones.
        metadata: gives facts to store beside the weights under ``metadata``: names of classes. They tell
            which rows of another model's class head are carried over.
        **checkpointables: objects with ``state_dict`` and ``load_state_dict``, saved by these names.

    Attributes:
        loaded: names of the model's tensors that the last :meth:`load` found in its file, all of each.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        save_to_disk: bool | None = None,
        weights: Callable[[], dict[str, Tensor]] | None = None,
        metadata: Callable[[], dict[str, Any]] | None = None,
        **checkpointables: Any,
    ):
        super().__init__(model, save_dir, save_to_disk=save_to_disk, **checkpointables)
        self._weights = weights or self.model.state_dict
        self._metadata = metadata
        self._source = ""
        self._guesses_names = False
        self._fitted = Fitted()
        self.loaded: set[str] = set()

    def save(self, name: str, **extra: Any) -> None:
        """Write ``name``.pth with weights and training state, and note it as the one to resume from."""
        if self._writes():
            # The states come first: they may refuse (a loss that is not finite).
            states = {key: item.state_dict() for key, item in self.checkpointables.items()}
            self._write(f"{name}.pth", {**self._model_part(), **states, **extra})
            self.tag_last_checkpoint(f"{name}.pth")

    def save_weights(self, name: str, **extra: Any) -> None:
        """Write ``name``.pth with the weights alone; training will not be resumed from it."""
        if self._writes():
            self._write(f"{name}.pth", {**self._model_part(), **extra})

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Note which file to resume from."""
        self._write_file("last_checkpoint", lambda file: file.write(last_filename_basename.encode()))

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load weights and, as Detectron2's, the training state from a file or URI.

        ``?matching_heuristics=True`` at the end lets Detectron2 guess which names belong together.

        Raises:
            MissingFileError: there is no such file.
            CheckpointError: the file is damaged, holds more than tensors and plain data, is of no known
                layout, or of a model with other dimensions. The model is as it was.
        """
        self.loaded, self._fitted = set(), Fitted()
        self._guesses_names = path.endswith(f"?{_HEURISTICS}=True")
        path = path.removesuffix(f"?{_HEURISTICS}=True")
        self._source = path
        if path and "://" not in path and not os.path.isfile(path):
            raise MissingFileError(f"checkpoint {path} does not exist")
        try:
            return super().load(path, *args, **kwargs)
        finally:
            # Detectron2 main keeps the parsed path during a load and refuses another one until it is gone.
            if hasattr(self, "_parsed_url_during_load"):
                self._parsed_url_during_load = None

    def _writes(self) -> bool:
        return bool(self.save_dir) and self.save_to_disk

    def _model_part(self) -> dict[str, Any]:
        part: dict[str, Any] = {"model": self._weights()}
        if self._metadata is not None:
            part["metadata"] = self._metadata()
        return part

    def _write(self, basename: str, data: dict[str, Any]) -> None:
        self.logger.info("Saving checkpoint to %s", os.path.join(self.save_dir, basename))
        self._write_file(basename, lambda file: torch.save(data, file))

    def _write_file(self, basename: str, write: Callable[[IO[bytes]], Any]) -> None:
        path = os.path.join(self.save_dir, basename)
        if "://" in path:  # what a remote store does with half a file is its own matter
            with self.path_manager.open(path, "wb") as file:
                write(file)
            return
        write_file(path, write)

    def _load_file(self, filename: str) -> dict[str, Any]:
        checkpoint = self._with_weights(read_checkpoint(filename, self._source))
        model = self.model.state_dict()
        is_detr = all(name in model for name in DETECTOR)
        checkpoint = self._converted(checkpoint, model, is_detr)
        if checkpoint.get(_HEURISTICS):
            return checkpoint
        if is_detr:
            self._fit(checkpoint, model)
        weights = OrderedDict(checkpoint["model"])
        # Without versions Detectron2's batch norms would reset statistics that a file of parts has not.
        copy_versions(model, weights)
        copy_versions(checkpoint["model"], weights)
        return {**checkpoint, "model": weights}

    def _with_weights(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        """What a file holds, with its weights under ``model``."""
        weights, key = weights_of(checkpoint, self._source), weights_key(checkpoint)
        rest = {} if key is None else {name: item for name, item in checkpoint.items() if name != key}
        guesses = {_HEURISTICS: True} if self._guesses_names else {}
        return {**rest, **guesses, "model": weights}

    def _converted(
        self, checkpoint: dict[str, Any], model: Mapping[str, Tensor], is_detr: bool
    ) -> dict[str, Any]:
        """The checkpoint with the model's names."""
        names = checkpoint["model"].keys()
        # Names that are ours already leave nothing to guess, whatever the file says.
        as_named = {key: item for key, item in checkpoint.items() if key != _HEURISTICS}
        if names <= model.keys():
            return as_named
        try:
            result = convert(checkpoint, self._source)
        except UnknownLayout:
            # Other models than ours, and names to be guessed, are Detectron2's matter.
            if checkpoint.get(_HEURISTICS) or (not is_detr and names & model.keys()):
                return checkpoint
            raise
        if result.source == OURS.name:
            return as_named if is_detr else checkpoint
        description = LAYOUTS[result.source].description
        weights = result.weights
        if HEAD[0] not in weights:
            weights = place_backbone(weights, model)
        if not weights:
            raise CheckpointError(
                f"checkpoint {self._source} holds {description}, but the model has no ResNet of "
                "Detectron2's to load it into, or several"
            )
        self.logger.info(
            "%s holds %s: %d of its tensors have a place here, left are %s",
            self._source,
            description,
            len(result.mapped),
            by_module(result.left) or "none",
        )
        return {"model": weights, "metadata": result.metadata}

    def _fit(self, checkpoint: dict[str, Any], model: Mapping[str, Tensor]) -> None:
        """Fit classes and queries to a DETR, and refuse weights of other dimensions."""
        weights = checkpoint["model"]
        classes, own_classes = _classes(checkpoint.get("metadata"), weights), None
        if classes is not None and self._metadata is not None:
            own_classes = _classes(self._metadata(), model)
        self._fitted = fit(weights, model, classes, own_classes)
        wrong = wrong_shapes(weights, model)
        if wrong:
            more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise CheckpointError(
                f"checkpoint {self._source} is of a model with other dimensions, so nothing was loaded: "
                f"{'; '.join(wrong[:3])}{more}. Set MODEL.RESNETS and MODEL.DETR as they were for it"
            )

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        """One summary in place of Detectron2's list of every name."""
        own = self.model.state_dict().keys()
        shapes = {name: f"{was} in the file, {now} here" for name, was, now in incompatible.incorrect_shapes}
        missing = {name for name in incompatible.missing_keys if not name.endswith("num_batches_tracked")}
        self.loaded = set(own) - set(incompatible.missing_keys) - shapes.keys() - self._fitted.partly_new
        text = f"Loaded {len(self.loaded)} of the model's {len(own)} tensors from {self._source}."
        text = " ".join([text, *self._fitted.notes])
        if missing - shapes.keys():
            text += f" Not in the file, left as they were: {by_module(missing - shapes.keys())}."
        if shapes:
            listed = "; ".join(f"{name}: {sizes}" for name, sizes in shapes.items())
            text += f" Of another shape, left as they were: {listed}."
        if incompatible.unexpected_keys:
            text += f" In the file, but not in the model: {by_module(incompatible.unexpected_keys)}."
        complete = self.loaded and not (missing or shapes or self._fitted.notes)
        (self.logger.info if complete else self.logger.warning)(text)


def _classes(metadata: object, weights: Mapping[str, Tensor]) -> list[str] | None:
    """The names of the classes of a model or file, where its metadata has them."""
    if HEAD[0] not in weights or not isinstance(metadata, Mapping):
        return None
    return class_list(metadata, len(weights[HEAD[0]]) - 1)


def by_module(names: Iterable[str]) -> str:
    """Names counted by their modules, e.g. "backbone.res5 (12), class_embed (2)"."""
    depth = {"backbone": 2, "transformer": 2}
    counts = Counter(".".join(name.split(".")[: depth.get(name.split(".")[0], 1)]) for name in names)
    return ", ".join(f"{module} ({count})" for module, count in sorted(counts.items()))

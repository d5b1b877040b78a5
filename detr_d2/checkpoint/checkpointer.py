"""Detectron2's checkpointer, made safe against interruption and for plain backbones."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterable
from typing import IO, Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import Tensor, nn

from .imagenet import imagenet_backbone


class DetrCheckpointer(DetectionCheckpointer):
    """Saves and loads a model with its training state.

    A file is complete or not there: it is written beside its place and moved when it is on the disk.
    ImageNet weights of torchvision's ResNets are renamed for the model's backbone when they are loaded.

    Args:
        model: may be wrapped for distributed training.
        save_dir: folder of the checkpoints.
        save_to_disk: False writes nothing; by default only the main process writes.
        weights: gives the weights to save in place of the model's own, e.g. averaged ones.
        metadata: gives facts to store beside the weights under ``metadata``: names of classes.
        **checkpointables: objects with ``state_dict`` and ``load_state_dict``, saved by these names.

    Attributes:
        loaded: names of the model's tensors that the last :meth:`load` found in its file.
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

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, or holds more than tensors and plain data.
        """
        self.loaded, self._source = set(), path
        if path and "://" not in path and not os.path.isfile(path.partition("?")[0]):
            raise FileNotFoundError(f"checkpoint {path} does not exist")
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
        os.makedirs(self.save_dir, exist_ok=True)
        unfinished = f"{path}.unfinished"
        with open(unfinished, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)

    def _load_file(self, filename: str) -> dict[str, Any]:
        try:
            checkpoint = super()._load_file(filename)  # PyTorch's safe mode, which is its default
        except pickle.UnpicklingError as error:
            raise ValueError(
                f"checkpoint {self._source} is damaged, or holds objects other than tensors and plain data, "
                f"which could run code when they are read: save its state dict without them "
                f"({_first_line(error)})"
            ) from error
        except (RuntimeError, EOFError, IndexError, KeyError) as error:
            raise ValueError(f"checkpoint {self._source} is damaged: {_first_line(error)}") from error
        if not isinstance(checkpoint["model"], dict):
            raise ValueError(f"checkpoint {self._source} holds no weights by name")
        backbone = imagenet_backbone(checkpoint["model"], self.model.state_dict())
        if backbone is not None:
            self.logger.info("%s holds an ImageNet backbone", self._source)
            return {"model": backbone}
        return checkpoint

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        """One summary in place of Detectron2's list of every name."""
        own = self.model.state_dict().keys()
        shapes = {name: f"{was} in the file, {now} here" for name, was, now in incompatible.incorrect_shapes}
        missing = {name for name in incompatible.missing_keys if not name.endswith("num_batches_tracked")}
        self.loaded = set(own) - set(incompatible.missing_keys) - shapes.keys()
        text = f"Loaded {len(self.loaded)} of the model's {len(own)} tensors from {self._source}."
        if missing - shapes.keys():
            text += f" Not in the file, left as they were: {_by_module(missing - shapes.keys())}."
        if shapes:
            listed = "; ".join(f"{name}: {sizes}" for name, sizes in shapes.items())
            text += f" Of another shape, left as they were: {listed}."
        if incompatible.unexpected_keys:
            text += f" In the file, but not in the model: {_by_module(incompatible.unexpected_keys)}."
        (self.logger.warning if missing or shapes or not self.loaded else self.logger.info)(text)


def _by_module(names: Iterable[str]) -> str:
    """Names counted by their modules, e.g. "backbone.res5 (12), class_embed (2)"."""
    depth = {"backbone": 2, "transformer": 2}
    counts = Counter(".".join(name.split(".")[: depth.get(name.split(".")[0], 1)]) for name in names)
    return ", ".join(f"{module} ({count})" for module, count in sorted(counts.items()))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]

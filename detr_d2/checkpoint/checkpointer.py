"""Detectron2's checkpointer, made safe against interruption and able to read the known layouts."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import IO, Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import Tensor, nn

from ..atomic import write_file
from ..classes import class_list
from ..errors import CheckpointError, MissingFileError, UserError, named
from .class_rows import AUTO, ModelClasses
from .layout import HEAD
from .prepare import HEURISTICS, Prepared, by_module, prepare
from .queries import GROUP_SIZE
from .safe_load import read_checkpoint
from .safetensors_file import save_safetensors
from .zoo import is_published

_GUESS = f"?{HEURISTICS}=True"

# What a training state raises that is damaged, or of another program.
_UNFIT = (LookupError, TypeError, ValueError, AttributeError, RuntimeError)


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
        class_rows: ``MODEL.DETR.CLASS_ROWS``, how the class head of other programs' files is numbered.
        category_ids: gives the class numbers by category ids of the data set that the model is for.
        keep_classes: leave a file's classes as they are where their number is the model's.
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
        class_rows: str = AUTO,
        category_ids: Callable[[], Mapping[int, int]] | None = None,
        keep_classes: bool = False,
        **checkpointables: Any,
    ):
        super().__init__(model, save_dir, save_to_disk=save_to_disk, **checkpointables)
        self.save_to_disk: bool = bool(save_dir) and self.save_to_disk
        self.logger = logging.getLogger(__name__)
        self._weights = weights or self.model.state_dict
        self._metadata = metadata or dict
        queries: Any = getattr(self.model, "query_embed", None)
        self._queries = queries if hasattr(queries, "place") else None  # those of another DETR are tables
        head = self.model.state_dict().get(HEAD[0])
        known = getattr(getattr(self.model, "criterion", None), "num_classes", None)
        count = None if head is None else known or len(head) - 1
        self._classes = ModelClasses(
            class_rows,
            count,
            names=lambda: class_list(self._metadata(), count or 0) or (),
            numbers=category_ids or dict,
            kept=keep_classes,
            no_object=head is None or len(head) != count,
        )
        self.loaded: set[str] = set()

    def save(self, name: str, **extra: Any) -> None:
        """Write ``name``.pth with weights and training state, and note it as the one to resume from."""
        if self.save_to_disk:
            # The states come first: they may refuse (a loss that is not finite).
            states = {key: item.state_dict() for key, item in self.checkpointables.items()}
            self.save_weights(name, **{**states, **extra})
            self.tag_last_checkpoint(f"{name}.pth")

    def save_weights(self, name: str, **extra: Any) -> None:
        """Write the weights alone; training will not be resumed from them.

        Args:
            name: ``name``.pth is written; or ``name`` itself where it ends in .safetensors, with the names of
                the classes and ``extra`` as json in its header.
            **extra: facts to store beside the weights.

        Raises:
            CheckpointError: .safetensors is asked for, and its package is missing.
        """
        if not self.save_to_disk:
            return
        basename = name if name.endswith(".safetensors") else f"{name}.pth"
        path, weights = os.path.join(self.save_dir, basename), self._weights()
        metadata = {**self._metadata(), **self._groups()}
        self.logger.info("Saving %s", path)
        if basename == name:
            save_safetensors(path, weights, {**metadata, **extra})
            return
        data = {"model": weights, **({"metadata": metadata} if metadata else {}), **extra}
        self._write_file(basename, lambda file: torch.save(data, file))

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Note which file to resume from."""
        self._write_file("last_checkpoint", lambda file: file.write(last_filename_basename.encode()))

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """As Detectron2's: the last checkpoint with its training state if asked for and there, else the
        weights of ``path``. Says so where ``path`` is not read.

        Raises:
            MissingFileError, CheckpointError: as :meth:`load`; or the last checkpoint that the folder names
                does not exist.
        """
        if not (resume and self.has_checkpoint()):
            return self.load(path, checkpointables=[])
        last = self.get_checkpoint_file()
        if "://" not in last and not os.path.isfile(last):
            note = os.path.join(self.save_dir, "last_checkpoint")
            raise MissingFileError(
                f"cannot resume: {note} names {last}, which does not exist: correct the name"
            )
        if path and path != last:
            self.logger.info("Resuming from %s: MODEL.WEIGHTS %s is not read", last, path)
        return self.load(last)

    def load(self, path: str, checkpointables: Iterable[str] | None = None) -> dict[str, Any]:
        """Load weights and, as Detectron2's, the training state from a file, folder or URI.

        Args:
            path: "" loads nothing. ``?matching_heuristics=True`` at its end lets Detectron2 guess which names
                belong together. A folder is one of Hugging Face's ``save_pretrained``.
            checkpointables: names of the training states to load; None takes all that there are.

        Returns:
            what else the file holds.

        Raises:
            MissingFileError: there is no such file.
            CheckpointError: the file is damaged, holds more than tensors and plain data, is of no known
                layout, or of a model with other dimensions; or its training state is of other classes or
                queries. The model is as it was. Or its training state is damaged.
        """
        self.loaded = set()
        if not path:
            self.logger.info("No checkpoint is given: the weights stay as they were initialized")
            return {}
        source = path.removesuffix(_GUESS)
        with named(f"checkpoint {source}"):
            file = self.path_manager.get_local_path(source)
        prepared = prepare(
            read_checkpoint(file, source),
            source,
            self.model.state_dict(),
            replace(self._classes, is_coco=partial(is_published, file)),
            guess_names=path != source,
            num_queries=self._queries.num_queries if self._queries else None,
        )
        names = self.checkpointables if checkpointables is None else checkpointables
        states = {name: prepared.rest.pop(name) for name in names if name in prepared.rest}
        if states and prepared.fitted.moved:
            raise CheckpointError(
                f"{source} holds a training with other classes or queries, which cannot go on with these. "
                f"{' '.join(prepared.fitted.notes)} Begin a new one with it: MODEL.WEIGHTS {source}, without "
                "--resume, another OUTPUT_DIR"
            )
        incompatible = self._load_model({**prepared.rest, "model": prepared.weights})
        new = prepared.fitted.new_queries
        if new is not None and self._queries:
            self._queries.place(new.rows, new.points, new.kept)
        self.loaded = self._summarize(source, prepared, incompatible)
        for name, state in states.items():
            try:
                self.checkpointables[name].load_state_dict(state)
            except UserError:
                raise
            except _UNFIT as error:
                raise CheckpointError(
                    f"cannot resume: the training state {name!r} of {source} is of another configuration, or "
                    f"damaged ({type(error).__name__}: {error}). Give it as MODEL.WEIGHTS, without --resume "
                    "and with another OUTPUT_DIR"
                ) from error
        return prepared.rest

    def _groups(self) -> dict[str, int]:
        """How many queries are a group, where there are several."""
        if not self._queries or len(self._queries.weight) == self._queries.num_queries:
            return {}
        return {GROUP_SIZE: self._queries.num_queries}

    def _write_file(self, basename: str, write: Callable[[IO[bytes]], Any]) -> None:
        path = os.path.join(self.save_dir, basename)
        if "://" in path:  # what a remote store does with half a file is its own matter
            with self.path_manager.open(path, "wb") as file:
                write(file)
            return
        write_file(path, write)

    def _summarize(self, source: str, prepared: Prepared, incompatible: Any) -> set[str]:
        """Log one summary in place of Detectron2's list of every name; returns what was loaded, by name."""
        own = self.model.state_dict().keys()
        shapes = {name: f"{was} in the file, {now} here" for name, was, now in incompatible.incorrect_shapes}
        loaded = set(own) - set(incompatible.missing_keys) - shapes.keys() - prepared.fitted.partly_new
        missing = set(incompatible.missing_keys) - shapes.keys()
        missing = {name for name in missing if not name.endswith("num_batches_tracked")}
        text = [f"Loaded {len(loaded)} of the model's {len(own)} tensors from {source}."]
        text += prepared.fitted.notes
        if missing:
            text.append(f"Not in the file, left as they were: {by_module(missing)}.")
        if shapes:
            listed = "; ".join(f"{name}: {sizes}" for name, sizes in shapes.items())
            text.append(f"Of another shape, left as they were: {listed}.")
        complete = loaded and len(text) == 1
        if incompatible.unexpected_keys:
            text.append(f"In the file, but not in the model: {by_module(incompatible.unexpected_keys)}.")
        if prepared.found:
            self.logger.info(prepared.found)
        self.logger.log(logging.INFO if complete else logging.WARNING, " ".join(text))
        return loaded

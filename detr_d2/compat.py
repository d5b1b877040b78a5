"""What differs between Detectron2 v0.6 and main, and between old libraries and new ones.

Both Detectron2s call themselves version 0.6, so features are looked for and versions never compared.
Importing this module (``import detr_d2`` does it first) makes v0.6 importable with today's Pillow and
NumPy and without its compiled operators. main needs none of this, and nothing is patched for it.
"""

import importlib
import importlib.machinery
import importlib.util
import inspect
import re
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

_COMPILED_OPS = "detectron2._C"

# Aliases of Python's types that NumPy 1.24 removed. NumPy 2 has a `bool` of its own, which must stay.
_NUMPY_ALIASES: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str, "object": object}


class _MissingOps(types.ModuleType):
    """Stands in for ``detectron2._C`` where no compiled one exists; says so to whoever calls an operator."""

    def __init__(self) -> None:
        super().__init__(_COMPILED_OPS, "Empty: this Detectron2 was installed without compiled operators.")
        self.__spec__ = importlib.machinery.ModuleSpec(_COMPILED_OPS, loader=None)
        self.__file__ = "(no compiled operators)"

    # Detectron2's environment report, printed at every start, calls these three.
    def get_compiler_version(self) -> str:
        return "none (installed without compiled operators)"

    def get_cuda_version(self) -> str:
        return "none"

    def has_cuda(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{_COMPILED_OPS} has no {name!r}: this Detectron2 was installed without compiled operators. "
            "Install one built from source if you need them (DETR does not)."
        )


def _find_detectron2() -> Path:
    """Return Detectron2's package folder without importing it.

    Raises:
        ImportError: there is no Detectron2, or only a folder that happens to have its name.
    """
    module = sys.modules.get("detectron2")
    spec = getattr(module, "__spec__", None) or importlib.util.find_spec("detectron2")
    if spec is None:
        raise ImportError(
            "detr_d2 needs Detectron2, which is not installed: run `make setup` in detr_d2's folder, or "
            "`pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'`.",
            name="detectron2",
        )
    if spec.origin is None:
        folders = ", ".join(spec.submodule_search_locations or [])
        raise ImportError(
            f"detr_d2 needs Detectron2, but `import detectron2` finds only a folder of that name ({folders}) "
            "that is not the package: start Python from another folder, or install Detectron2.",
            name="detectron2",
        )
    return Path(spec.origin).parent


def _source_has(package: Path, file: str, pattern: str) -> bool:
    """Tell whether a line of Detectron2's source ``file`` matches the regular expression ``pattern``."""
    path = package / file
    return path.is_file() and re.search(pattern, path.read_text("utf-8"), re.MULTILINE) is not None


def _compiled_ops_exist(package: Path) -> bool:
    """Tell whether ``detectron2._C`` can be found, without importing anything."""
    if _COMPILED_OPS in sys.modules:
        return True
    return importlib.machinery.PathFinder.find_spec(_COMPILED_OPS, [str(package)]) is not None


def _import_detectron2() -> None:
    """Import Detectron2; first give v0.6 the names that it expects of Pillow, NumPy and its compiled module.

    Raises:
        ImportError: Detectron2 is missing, or needs patches and was imported before them.
    """
    package = _find_detectron2()
    lacks_linear = not hasattr(PIL.Image, "LINEAR") and _source_has(
        package, "data/transforms/transform.py", r"\bImage\.LINEAR\b"
    )
    # main imports its operators inside a try block, v0.6 at the left margin.
    lacks_ops = not _compiled_ops_exist(package) and _source_has(
        package, "layers/deform_conv.py", r"^from detectron2 import _C\b"
    )
    if (lacks_linear or lacks_ops) and "detectron2" in sys.modules:
        raise ImportError(
            f"detectron2 was imported before detr_d2, but this one ({package}) cannot work with the "
            "libraries installed here until detr_d2 has patched them: restart Python and put "
            "`import detr_d2` before everything that imports detectron2."
        )

    if lacks_linear:
        PIL.Image.LINEAR = PIL.Image.BILINEAR  # type: ignore[attr-defined]
    if _source_has(package, "data/build.py", r"\bnp\.int\b"):
        for name, python_type in _NUMPY_ALIASES.items():
            if name not in np.__dict__:
                setattr(np, name, python_type)
    if lacks_ops:
        sys.modules[_COMPILED_OPS] = _MissingOps()
    _import_quietly()
    if lacks_ops:
        _evaluate_without_compiled_ops()


def _evaluate_without_compiled_ops() -> None:
    """Let v0.6's ``COCOEvaluator`` fall back to pycocotools by default, as main's does."""
    import detectron2

    # A submodule that is already in sys.modules is not bound to its package by the import system.
    detectron2._C = sys.modules[_COMPILED_OPS]
    coco_evaluation = importlib.import_module("detectron2.evaluation.coco_evaluation")
    coco_evaluation.COCOeval_opt = coco_evaluation.COCOeval  # type: ignore[attr-defined]


def _import_quietly() -> None:
    """Import Detectron2's models without the deprecation warning that ``torch.jit.script`` gives for them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.script", category=FutureWarning)
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.script", category=DeprecationWarning)
        importlib.import_module("detectron2.modeling")


def has_compiled_ops() -> bool:
    """Tell whether this Detectron2 has its compiled operators (``COCOEvaluator(use_fast_impl=...)``)."""
    try:
        ops = importlib.import_module(_COMPILED_OPS)
    except ImportError:
        return False
    return not isinstance(ops, _MissingOps)


def create_local_process_group(processes_per_machine: int) -> None:
    """Tell Detectron2 which processes share a machine; v0.6 does it only inside its ``launch``, for GPUs.

    All processes call it, once, after joining the process group.

    Args:
        processes_per_machine: the same on every machine.
    """
    import torch
    from detectron2.utils import comm

    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(processes_per_machine)
        return
    for first in range(0, comm.get_world_size(), processes_per_machine):
        ranks = list(range(first, first + processes_per_machine))
        group = torch.distributed.new_group(ranks)
        if comm.get_rank() in ranks:
            comm._LOCAL_PROCESS_GROUP = group


def distributed(model: Any) -> Any:
    """Wrap a module for the process group. Buffers are not sent: they are the same on all processes.

    Args:
        model: on its device. The CPU gets no number, which Detectron2's ``create_ddp_model`` gives it.
    """
    from torch.nn.parallel import DistributedDataParallel

    # PyTorch 2.15 warns of the old name.
    new_name = "forward_sync_buffers" in inspect.signature(DistributedDataParallel.__init__).parameters
    options: dict[str, Any] = {"forward_sync_buffers" if new_name else "broadcast_buffers": False}
    device = next(model.parameters()).device
    return DistributedDataParallel(model, device_ids=None if device.type == "cpu" else [device], **options)


_import_detectron2()

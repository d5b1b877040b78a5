"""What of a training is in none of its other files: the seed that it drew, and what it ran with."""

from __future__ import annotations

import json
import platform
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import detectron2
import torch

from ..atomic import write_file

FACTS = "run.json"
_PACKAGES = ("detr_d2", "torch", "torchvision", "numpy", "pillow", "pycocotools", "faster-coco-eval")


def write_facts(folder: str | Path, seed: int, device: str) -> None:
    """Write ``run.json`` to a training's OUTPUT_DIR, when it starts or is resumed.

    Args:
        folder: OUTPUT_DIR.
        seed: that was drawn.
        device: MODEL.DEVICE; a GPU is asked for its name only where it is used.
    """
    facts = {
        "seed": seed,
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            "detectron2": detectron2.__version__,
            **{name: found for name in _PACKAGES if (found := _version(name))},
            "GPU": torch.cuda.get_device_name(device) if device.startswith("cuda") else "none",
        },
    }
    text = json.dumps(facts, indent=1) + "\n"
    write_file(str(Path(folder, FACTS)), lambda file: file.write(text.encode()))


def read_facts(folder: str | Path) -> dict[str, Any]:
    """What :func:`write_facts` wrote; {} where it did not, or the file is damaged."""
    try:
        facts = json.loads(Path(folder, FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

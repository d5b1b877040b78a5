"""Damaged checkpoints are loaded, or refused by name with the model as it was.

    python -m tests.fuzz.checkpoints [--cases N] [--first I]

Files of four kinds, 125 of each, are damaged in a seeded way: 500 cases, or N from case I on.
"""

from __future__ import annotations

import argparse
import logging
import pickle
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.modeling import build_model
from torch import Tensor, nn

from detr_d2.checkpoint import DetrCheckpointer
from detr_d2.checkpoint.safetensors_file import save_safetensors
from detr_d2.errors import CheckpointError, MissingFileError

from ..conftest import make_tiny_config

CASES = 500

Weights = dict[str, Tensor]
METADATA = {"thing_classes": ["a", "b", "c"]}


def _write_zip(path: Path, weights: Weights) -> None:
    torch.save({"model": weights, "metadata": METADATA, "iteration": 7}, path)


def _write_legacy(path: Path, weights: Weights) -> None:
    data = {"model": weights, "metadata": METADATA, "iteration": 7}
    torch.save(data, path, _use_new_zipfile_serialization=False)


def _write_pickle(path: Path, weights: Weights) -> None:
    arrays = {name: value.numpy() for name, value in weights.items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "x", "metadata": METADATA}))


def _write_safetensors(path: Path, weights: Weights) -> None:
    save_safetensors(str(path), weights, METADATA)


KINDS: dict[str, Callable[[Path, Weights], None]] = {
    "zip.pth": _write_zip,
    "legacy.pth": _write_legacy,
    "pickle.pkl": _write_pickle,
    "header.safetensors": _write_safetensors,
}


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with one kind of damage: cut, bits flipped, a block zeroed, lost, repeated or moved."""
    data = bytearray(content)
    # Half of the damage is in the first part, where the structure of most formats is.
    length = len(data) if rng.random() < 0.5 else min(len(data), 4096)
    at, other = sorted(rng.integers(0, length, 2).tolist())
    size = int(rng.integers(1, 200))
    match rng.integers(6):
        case 0:
            return bytes(data[:at])
        case 1:
            for place in rng.integers(0, length, rng.integers(1, 20)):
                data[place] ^= 1 << int(rng.integers(8))
        case 2:
            data[at : at + size] = bytes(len(data[at : at + size]))
        case 3:
            del data[at : at + size]
        case 4:
            data[at:at] = data[at : at + size]
        case 5:
            data[at : at + size], data[other : other + size] = (
                data[other : other + size],
                data[at : at + size],
            )
    return bytes(data)


def try_case(case: int, folder: Path, model: nn.Module) -> str:
    """Load the damaged file of one case; "loaded", "refused", or what is wrong."""
    kind = list(KINDS)[case % len(KINDS)]
    path = folder / f"{case}-{kind}"
    path.write_bytes(damage((folder / kind).read_bytes(), np.random.default_rng(case)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        DetrCheckpointer(model).load(str(path))
    except (CheckpointError, MissingFileError) as error:
        text = str(error)
        if path.name not in text or "\n" in text:
            return f"case {case}: not one line that names the file: {text}"
        changed = [name for name, x in model.state_dict().items() if not torch.equal(x, before[name])]
        return f"case {case}: refused ({text}), but {changed[:3]} changed" if changed else "refused"
    except Exception as error:
        return f"case {case}: {type(error).__name__}: {error}"
    finally:
        model.load_state_dict(before)
        path.unlink()
    return "loaded"


def run(cases: Iterable[int]) -> Counter[str]:
    """Outcomes of some cases by their number."""
    model = build_model(make_tiny_config())
    weights = {name: x.clone() for name, x in build_model(make_tiny_config()).state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        for name, write in KINDS.items():
            write(Path(folder) / name, weights)
        return Counter(try_case(case, Path(folder), model) for case in cases)


def main() -> int:
    """Run the cases; the exit status is 1 where one of them is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    outcomes = run(range(args.first, args.first + args.cases))
    for outcome, count in sorted(outcomes.items()):
        print(count, outcome)
    return 0 if outcomes.keys() <= {"loaded", "refused"} else 1


if __name__ == "__main__":
    sys.exit(main())

"""Random mutations of sound segmentations: each is drawn, or refused with a ValueError, in little memory.

    python -m tests.fuzz.segmentations [N]

runs N of them (4000 unless told) in a process whose memory is limited, and prints what became of them.
What pycocotools can be trusted with must have just its pixels. A failure names the seed of its case.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_util

from detr_d2.data.masks import encode, rasterize, segmentation_faults

CASES = 4000
EXTRA_MEMORY = 256 * 2**20  # bytes, beyond what the imports take

STRANGE: tuple[Any, ...] = (
    *(0, -1, 1, 255, 2**31, -(2**31), 2**32, 2**62, 2**63, 2**64, 2**70, -(2**70), 10**400, 10**5000),
    *(0.5, -0.0, 1e-300, 1e9, 1e30, -1e30, 1e308, float("nan"), float("inf"), -float("inf"), 1j),
    *("", "7", "seven", "\u0665", "\ud800", "\0", b"7", b"\xff", None, True, False, ..., object),
    *([], [[]], [1], [1, 2], [[1, 2]], {}, {"x": 1}, {"size": [1, 1], "counts": "1"}, (), set(), range(6)),
    *(np.float32(3), np.int8(-7), np.uint64(2**64 - 1), np.array([]), np.array(3), np.array([1.0, 2.0])),
    *(np.zeros((2, 3)), np.array(["a"]), np.array([None]), np.datetime64("2020-01-01")),
)


def sound(rng: random.Random, height: int, width: int) -> Any:
    """A segmentation as it should be, of any format."""
    kind = rng.choice(["polygons", "polygons", "flat", "points", "text", "bytes", "list", "array"])
    if kind in ("polygons", "flat", "points"):
        polygons = [
            [
                rng.choice([float, int, lambda x: round(x, 2)])(rng.uniform(-0.2, 1.2) * length)
                for _ in range(rng.randint(3, 12))
                for length in (width, height)
            ]
            for _ in range(rng.randint(1, 3))
        ]
        if kind == "flat":
            return polygons[0]
        if kind == "points":
            return [[x, y] for x, y in zip(polygons[0][::2], polygons[0][1::2], strict=True)]
        return polygons
    mask = np.zeros((height, width), dtype=np.uint8)
    for _ in range(rng.randint(0, 4)):
        y, x = rng.randrange(height), rng.randrange(width)
        mask[y : y + rng.randint(1, height), x : x + rng.randint(1, width)] ^= 1
    if kind == "array":
        return mask.astype(rng.choice([bool, np.uint8, np.float32]))
    rle = mask_util.encode(np.asfortranarray(mask))
    if kind == "list":
        edges = np.flatnonzero(np.diff(mask.T.ravel(), prepend=0, append=2))
        rle["counts"] = np.diff(edges, prepend=0).tolist()
    return {"size": rle["size"], "counts": rle["counts"].decode() if kind == "text" else rle["counts"]}


def mutated(rng: random.Random, value: Any) -> Any:
    """A copy of a value with one random change, at a random depth."""
    if rng.random() < 0.1:
        return rng.choice(STRANGE)
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        change = rng.random()
        if change < 0.1:
            return {name: entry for name, entry in value.items() if name != key}
        return {**value, key: mutated(rng, value[key])}
    if isinstance(value, list | tuple) and value:
        return _mutated_list(rng, list(value))
    if isinstance(value, str | bytes) and value:
        place, length = rng.randrange(len(value)), rng.randint(0, 3)
        other = rng.choice(["0", "o", "P" * length, "o" * 50, "1" * 9, "\u00e9", " "])
        inserted: Any = other if isinstance(value, str) else other.encode()
        return rng.choice([value[:place], value[place:], value[:place] + inserted + value[place + length :]])
    if isinstance(value, np.ndarray):
        return _mutated_array(rng, value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) < 1e30:
            return rng.choice([[value], -value, 0])
        types: list[Any] = [str(value), [value], None, float(value), np.float32(value)]
        return rng.choice([*types, -value, value * 3, value * 1e6, value + 1, 10 ** rng.randint(1, 40)])
    return rng.choice(STRANGE)


def _mutated_list(rng: random.Random, items: list[Any]) -> Any:
    place = rng.randrange(len(items))
    change = rng.randrange(12)
    if change == 0:
        return items[:place]
    if change == 1:
        return [*items[:place], *items[place + 1 :]]
    if change == 2:
        return [*items, rng.choice(STRANGE)]
    if change == 3:
        return [rng.choice(STRANGE), *items]
    if change == 4:
        return [items]
    if change == 5:
        return items * rng.choice([2, 100, 3000] if len(items) < 1000 else [2])
    if change == 6:
        return tuple(items)
    items[place] = mutated(rng, items[place])
    return items


def _mutated_array(rng: random.Random, array: np.ndarray) -> Any:
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        return array.tolist()
    types = [array.astype(kind) for kind in (object, str, complex, np.float16)]
    return rng.choice([*types, array.tolist(), array.T, array[None], array[:-1], array * np.nan])


def trusted(segmentation: Any, height: int, width: int) -> np.ndarray | None:
    """pycocotools' pixels of what is sound by a plain look at it, else None."""
    if isinstance(segmentation, dict) and set(segmentation) == {"size", "counts"}:
        counts, size = segmentation["counts"], segmentation["size"]
        if type(size) is not list or size != [height, width] or {type(n) for n in size} != {int}:
            return None
        if type(counts) is not list or not all(type(n) is int and n >= 0 for n in counts):
            return None
        if sum(counts) != height * width or len(counts) > height * width:
            return None
        return mask_util.decode(mask_util.frPyObjects(segmentation, height, width))
    if type(segmentation) is list and 0 < len(segmentation) < 500:
        for polygon in segmentation:
            if type(polygon) is not list or len(polygon) < 6 or len(polygon) % 2 or len(polygon) > 500:
                return None
            if not all(type(x) in (int, float) and abs(x) <= 3 * max(height, width) for x in polygon):
                return None
        polygons = [np.array(polygon, dtype=np.float64) for polygon in segmentation]
        return mask_util.decode(mask_util.merge(mask_util.frPyObjects(polygons, height, width)))
    return None


def check(seed: int) -> str:
    """Run one case.

    Returns:
        what became of it: "pycocotools' pixels", "pixels", or "refused".
    """
    rng = random.Random(seed)
    height, width = rng.randint(1, 50), rng.randint(1, 50)
    segmentation = sound(rng, height, width)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        segmentation = mutated(rng, segmentation)
    if rng.random() < 0.03:
        size = [height, width]
        size[rng.randrange(2)] = rng.choice(STRANGE)
        height, width = size
        if not (type(height) is type(width) is int and 0 < height * width < 2**20):
            return _outcome(segmentation, height, width, None)
    return _outcome(segmentation, height, width, trusted(segmentation, height, width))


def _outcome(segmentation: Any, height: Any, width: Any, expected: np.ndarray | None) -> str:
    faults = segmentation_faults(segmentation, height, width)
    refusal = mask = None
    try:
        mask = rasterize(segmentation, height, width)
    except ValueError as error:
        refusal = str(error)
    if mask is None:
        assert expected is None, f"pycocotools can draw what is refused: {refusal}"
        assert faults.unusable
        assert faults.why == refusal
        assert faults.why.startswith("its "), faults
        assert "\n" not in faults.why
        assert len(faults.why) < 400
        return "refused"
    assert not faults.unusable, faults
    assert bool(faults.why) == (faults.bad_parts > 0), faults
    assert mask.shape == (height, width)
    assert mask.dtype == bool
    assert np.array_equal(mask_util.decode(encode(segmentation, height, width)), mask)
    if expected is None:
        return "pixels"
    assert np.array_equal(mask, expected)
    assert not faults.bad_parts
    return "pycocotools' pixels"


def run(seeds: range) -> Counter[str]:
    """What became of the cases with these seeds, in this process."""
    outcomes: Counter[str] = Counter()
    for seed in seeds:
        try:
            outcomes[check(seed)] += 1
        except BaseException as error:
            error.add_note(f"in the case with the seed {seed}")
            raise
    return outcomes


def run_limited(first: int, count: int) -> str:
    """The same in a process with little memory; returns what it prints.

    Raises:
        subprocess.CalledProcessError: a case failed, or ended the process.
    """
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.segmentations", str(count), "--here"]
    command += ["--first", str(first)]
    root = Path(__file__).parents[2]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=root).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=CASES)
    parser.add_argument("--first", type=int, default=0, help="seed of the first case")
    parser.add_argument("--here", action="store_true", help="in this process, whose memory is then limited")
    args = parser.parse_args()
    if not args.here:
        sys.exit(print(run_limited(args.first, args.count), end=""))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + EXTRA_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = run(range(args.first, args.first + args.count))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(", ".join(f"{count} {what}" for what, count in sorted(outcomes.items())) + f"; {grown} MiB more")


if __name__ == "__main__":
    main()

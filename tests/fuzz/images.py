"""Sound, unusual and damaged images by seed: each is read, or refused by a UserError that names its file.

``python -m tests.fuzz.images`` tries 300 of them and prints a table. Its exit status is 1 if anything else
happened, a sound image was refused or read wrongly, or more than 1 GB of memory was taken.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from detr_d2.data.images import image_header, read_image
from detr_d2.errors import UserError
from tests.image_files import write_png

NUMBER = 300
KINDS = ("sound", "turned", "cut", "bits flipped", "header", "zeroed", "spliced", "size claimed")
MEMORY_LIMIT = 1 << 30  # bytes
MODES = {
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "jpeg": ("L", "RGB", "CMYK"),
    "tiff": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"),
    "gif": ("L", "P"),
    "webp": ("RGB", "RGBA"),
    "bmp": ("1", "L", "P", "RGB"),
    "ppm": ("1", "L", "RGB", "I;16"),
}
WITH_EXIF = ("png", "jpeg", "tiff", "webp")
ENDINGS = ("png", "jpg", "tif", "gif", "webp", "bmp", "ppm", "json", "txt", "")
ORIENTATION = 0x0112


class Case(NamedTuple):
    """An image file.

    Attributes:
        kind: what was done to it.
        file: the file itself.
        expected: (H, W, 3) what it shows, if that is known.
    """

    kind: str
    file: Path
    expected: np.ndarray | None = None


def make_case(number: int, folder: Path, seed: int = 0) -> Case:
    """The case of a number from 0; the same for the same seed."""
    rng = np.random.default_rng([seed, number])
    kind = KINDS[number % len(KINDS)]
    image_format = str(rng.choice(WITH_EXIF if kind == "turned" else list(MODES)))
    image = make_image(str(rng.choice(MODES[image_format])), rng)
    file = folder / f"{number:03}.{rng.choice(ENDINGS)}"
    kind = ("sound", "turned", "cut", "bits flipped", "header", "zeroed", "spliced", "size claimed")[
        number % 8
    ]
    if kind == "size claimed":
        sizes = (0, 1, 7, 40, 13_000, 14_000, 70_000, 2**31 - 1, 2**31, 2**32 - 1)
        claimed = int(rng.choice(sizes)), int(rng.choice(sizes))
        if 1e6 < claimed[0] * claimed[1] <= 178_956_970:
            claimed = claimed[0], 14_000  # beyond the limit, or it costs what the limit allows
        return Case(kind, write_png(file, np.zeros((7, 40), np.uint8), size=claimed))
    image.save(file, format=image_format, **({"lossless": True} if image_format == "webp" else {}))
    if kind == "sound":
        is_exact = image.mode == "RGB" and image_format != "jpeg"
        return Case(kind, file, np.asarray(image) if is_exact else None)
    if kind == "turned":
        stored, orientation, exif = read_image(str(file), "RGB"), int(rng.integers(1, 9)), Image.Exif()
        exif[ORIENTATION] = orientation
        options = {"lossless": True} if image_format == "webp" else {}
        image.save(file, format=image_format, exif=exif, **options)
        return Case(kind, file, turn(stored, orientation))
    file.write_bytes(damage(file.read_bytes(), kind, rng))
    return Case(kind, file)


def make_image(mode: str, rng: np.random.Generator) -> Image.Image:
    """Noise of up to 60 pixels a side, of one of Pillow's modes."""
    shape = tuple(int(side) for side in rng.integers(1, 61, 2))
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, shape, dtype=np.uint16))
    if mode == "F":
        return Image.fromarray(rng.random(shape, dtype=np.float32))
    colors = Image.fromarray(rng.integers(0, 256, (*shape, 4), dtype=np.uint8))
    return colors if mode == "RGBA" else colors.convert("RGB" if mode == "CMYK" else mode).convert(mode)


def turn(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (H, W, 3) upright with NumPy's flips and quarter turns (counter-clockwise)."""
    return {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: np.fliplr(np.rot90(a, 3)),
        6: lambda a: np.rot90(a, 3),
        7: lambda a: np.fliplr(np.rot90(a, 1)),
        8: lambda a: np.rot90(a, 1),
    }[orientation](stored)


def damage(content: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """Do to a file's bytes what the kind says."""
    data = bytearray(content)
    start = int(rng.integers(len(data)))
    if kind == "cut":
        return content[:start]
    if kind == "spliced":
        return content[:start] + content[int(rng.integers(len(data))) :]
    if kind == "zeroed":
        end = min(len(data), start + int(rng.integers(1, 200)))
        data[start:end] = bytes(end - start)
        return bytes(data)
    reach = min(len(data), 64) if kind == "header" else len(data)
    for _ in range(int(rng.integers(1, 12))):
        data[int(rng.integers(reach))] ^= 1 << int(rng.integers(8)) if kind == "bits flipped" else 255
    return bytes(data)


def try_case(case: Case) -> str:
    """Read an image; returns "read" or "refused".

    Raises:
        AssertionError: it was read wrongly, a sound one was refused, or the message does not name the file.
        Exception: whatever else should not happen.
    """
    refusal = None
    try:
        size = image_header(str(case.file))
        image = read_image(str(case.file), "RGB")
    except UserError as error:
        refusal = str(error)
    if refusal is not None:
        assert str(case.file) in refusal, f"the message does not name the file: {refusal}"
        assert "\n" not in refusal, f"more than a line: {refusal}"
        assert case.kind not in ("sound", "turned"), f"a sound image was refused: {refusal}"
        return "refused"
    assert image.dtype == np.uint8
    assert image.shape == (size.height, size.width, 3), f"{image.shape} is not of the header's {size}"
    if case.expected is not None:
        np.testing.assert_array_equal(image, case.expected)
    return "read"


def peak_memory() -> int:
    """The most memory that the process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(argv: Sequence[str] | None = None) -> int:
    """Try the images, print the table, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.images", description=__doc__.split("\n")[0])
    parser.add_argument("--number", type=int, default=NUMBER, help=f"images (default: {NUMBER})")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other images (default: 0)")
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")  # Pillow's, of damaged entries
    before, counts = peak_memory(), Counter[tuple[str, str]]()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.number):
            case = make_case(number, Path(folder), args.seed)
            try:
                outcome = try_case(case)
            except Exception:
                outcome = "FAILED"
                print(f"{number} ({case.kind}):", file=sys.stderr)
                traceback.print_exc()
            counts[case.kind, outcome] += 1
    taken = peak_memory() - before
    print(f"{'kind':<14}{'read':>6}{'refused':>9}{'FAILED':>8}")
    for kind in dict.fromkeys(kind for kind, _ in counts):
        print(f"{kind:<14}{counts[kind, 'read']:>6}{counts[kind, 'refused']:>9}{counts[kind, 'FAILED']:>8}")
    print(f"{taken / 2**20:.0f} MiB of memory at most, above the imports")
    failed = sum(count for (_, outcome), count in counts.items() if outcome == "FAILED")
    return 1 if failed or taken > MEMORY_LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())

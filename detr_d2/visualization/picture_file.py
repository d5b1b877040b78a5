"""Pictures as files."""

from pathlib import Path

from PIL import Image

from ..errors import named
from .labels import Picture


def write_picture(picture: Picture, file: str | Path) -> None:
    """Write an image file, and the folder that it is in.

    Args:
        picture: (H, W, 3) RGB.
        file: what ``--output`` names.

    Raises:
        UserError: it cannot be written.
    """
    with named(f"--output {file}"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file)

"""Reading image files, with errors that name them."""

import numpy as np
from detectron2.data import detection_utils

from ..errors import DataError


def read_image(file_name: str, image_format: str, what: str = "Image file") -> np.ndarray:
    """Read an image as (H, W, C) uint8, turned as its EXIF entry says.

    Args:
        file_name: path or URI.
        image_format: as Detectron2's ``INPUT.FORMAT``.
        what: what messages call the file.

    Raises:
        DataError: it is missing or cannot be decoded.
    """
    try:
        return detection_utils.read_image(file_name, format=image_format)
    except FileNotFoundError as error:
        raise DataError(f"{what} {file_name} does not exist.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        # Pillow raises any of these on damaged files, a SyntaxError on some damaged PNG files.
        raise DataError(f"{what} {file_name} cannot be decoded ({error}). Replace it.") from error

"""Colours of classes: the same class has the same colour in every panel, legend and run."""

import colorsys
from collections.abc import Sequence

Color = tuple[float, float, float]

# Strong hues that stand apart from each other and from sky, grass, water and skin.
_PALETTE: tuple[Color, ...] = (
    (1.00, 0.45, 0.10),  # orange
    (0.88, 0.16, 0.62),  # magenta
    (0.10, 0.80, 0.85),  # turquoise
    (1.00, 0.84, 0.15),  # yellow
    (0.48, 0.36, 0.95),  # violet
    (0.35, 0.85, 0.30),  # green
    (0.90, 0.15, 0.20),  # red
    (0.20, 0.50, 1.00),  # blue
    (1.00, 0.62, 0.75),  # pink
    (0.60, 0.40, 0.22),  # brown
)
_GOLDEN_RATIO = 0.6180339887498949


def class_colors(num_classes: int, thing_colors: Sequence[Sequence[float]] | None = None) -> list[Color]:
    """Return one RGB colour per class, a function of the class's index only.

    Args:
        num_classes: how many colours are wanted.
        thing_colors: colours that the data set's metadata already fixes, RGB in [0, 255]
            (``MetadataCatalog.get(name).thing_colors``); they come first, unchanged.

    Returns:
        ``num_classes`` tuples (red, green, blue) in [0, 1].
    """
    colors: list[Color] = []
    for index in range(num_classes):
        if thing_colors is not None and index < len(thing_colors):
            red, green, blue = (float(channel) / 255 for channel in thing_colors[index])
            colors.append((red, green, blue))
        elif index < len(_PALETTE):
            colors.append(_PALETTE[index])
        else:
            # Steps of the golden ratio around the colour circle never repeat a hue.
            hue = (index * _GOLDEN_RATIO) % 1.0
            lightness = (0.5, 0.65, 0.4)[index % 3]
            colors.append(colorsys.hls_to_rgb(hue, lightness, 0.85))
    return colors


def text_color(background: Color) -> str:
    """Return "black" or "white", whichever reads better on ``background`` (RGB in [0, 1])."""
    red, green, blue = background
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def instance_color(color: Color, index: int) -> Color:
    """Return a shade of a class's colour, another one for each ``index``; the first is the colour itself."""
    if index == 0:
        return color
    hue, lightness, saturation = colorsys.rgb_to_hls(*color)
    # Lighter and darker in turn, never black or white; with small steps of hue none comes twice.
    lightness += (0.18, -0.18, 0.32, -0.3)[(index - 1) % 4]
    hue += 0.02 * ((index + 1) // 2) * (-1) ** index
    return colorsys.hls_to_rgb(hue % 1.0, min(max(lightness, 0.15), 0.88), saturation)

"""Names and colors of classes: a class has the same color in every panel, legend and run."""

import colorsys
from collections.abc import Sequence

from detectron2.data import Metadata

Color = tuple[float, float, float]

_GOLDEN_RATIO = 0.6180339887498949


def class_colors(num_classes: int, thing_colors: Sequence[Sequence[float]] | None = None) -> list[Color]:
    """Return one RGB color per class, a function of the class's index only.

    Args:
        num_classes: how many colors are wanted.
        thing_colors: colors that the data set's metadata already fixes, RGB in [0, 255]
            (``MetadataCatalog.get(name).thing_colors``); they come first, unchanged.

    Returns:
        ``num_classes`` tuples (red, green, blue) in [0, 1].
    """
    given = [(red / 255, green / 255, blue / 255) for red, green, blue in (thing_colors or ())[:num_classes]]
    # Steps of the golden ratio around the color circle never repeat a hue.
    return given + [
        colorsys.hls_to_rgb(index * _GOLDEN_RATIO % 1, (0.5, 0.65, 0.4)[index % 3], 0.85)
        for index in range(len(given), num_classes)
    ]


def class_name_and_color(metadata: Metadata | None, index: int, kind: str = "thing") -> tuple[str, Color]:
    """Return the metadata's name and color of a class; "class N" and one of our colors where it has none.

    Args:
        metadata: with ``thing_classes`` and ``thing_colors``, or the same of stuff, all optional.
        index: of the class.
        kind: "thing" or "stuff".
    """
    names, colors = (getattr(metadata, f"{kind}_{what}", None) or () for what in ("classes", "colors"))
    name = names[index] if index < len(names) else f"class {index}"
    return name, class_colors(index + 1, colors)[index]


def text_color(background: Color) -> str:
    """Return "black" or "white", whichever reads better on ``background`` (RGB in [0, 1])."""
    red, green, blue = background
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def instance_color(color: Color, index: int) -> Color:
    """Return a shade of a class's color, another one for each ``index``; the first is the color itself."""
    if index == 0:
        return color
    hue, lightness, saturation = colorsys.rgb_to_hls(*color)
    # Lighter and darker in turn, never black or white; with small steps of hue none comes twice.
    lightness += (0.18, -0.18, 0.32, -0.3)[(index - 1) % 4]
    hue += 0.02 * ((index + 1) // 2) * (-1) ** index
    return colorsys.hls_to_rgb(hue % 1.0, min(max(lightness, 0.15), 0.88), saturation)

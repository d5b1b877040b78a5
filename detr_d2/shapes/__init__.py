"""The sample data set "shapes": drawing it, writing it in COCO's formats, and its entry in the catalogs.

Importing this registers ``shapes_{train,val}`` and ``shapes_{train,val}_panoptic``.
"""

from .drawing import ShapesConfig, draw
from .files import ShapesSize, write_shapes
from .registration import register_shapes, shapes_root

register_shapes()

__all__ = ["ShapesConfig", "ShapesSize", "draw", "register_shapes", "shapes_root", "write_shapes"]

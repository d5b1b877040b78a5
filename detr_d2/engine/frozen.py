"""Loading of the detector that a mask head is trained on."""

from __future__ import annotations

from detectron2.config import CfgNode

from ..checkpoint import DetrCheckpointer
from ..errors import CheckpointError, MissingFileError
from ..modeling import Detr
from .classes import category_numbers, class_names


def load_frozen_weights(cfg: CfgNode, model: Detr) -> set[str]:
    """Load MODEL.DETR.FROZEN_WEIGHTS into all of the model but its mask head.

    Args:
        cfg: names the file or URI.
        model: not wrapped for distributed training.

    Returns:
        names of the model's tensors that were loaded.

    Raises:
        MissingFileError: there is no such file.
        ConfigError: the file lacks some of the detector's weights; names them.
    """
    path = cfg.MODEL.DETR.FROZEN_WEIGHTS
    checkpointer = DetrCheckpointer(
        model.detector(),
        save_to_disk=False,
        metadata=lambda: class_names(cfg),
        class_rows=cfg.MODEL.DETR.CLASS_ROWS,
        category_ids=lambda: category_numbers((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)),
    )
    try:
        checkpointer.load(path, checkpointables=[])
    except FileNotFoundError as error:
        raise MissingFileError(f"MODEL.DETR.FROZEN_WEIGHTS: {error}") from error
    needed = {name for name in checkpointer.model.state_dict() if not name.endswith("num_batches_tracked")}
    missing = sorted(needed - checkpointer.loaded)
    if missing:
        listed = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise CheckpointError(
            f"MODEL.DETR.FROZEN_WEIGHTS {path} lacks {len(missing)} of the detector's {len(needed)} tensors, "
            f"or has them in another shape: {listed}. It must be a detector of the same configuration, with "
            "the same classes"
        )
    return checkpointer.loaded

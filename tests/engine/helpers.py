"""A data set on disk and configs for training on it; also used by the processes that tests start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.config import CfgNode

from detr_d2.data import register_configured
from detr_d2.engine import DetrTrainer

from ..conftest import make_mask_config, make_tiny_config

NAME = "engine_tests"


def write_dataset(folder: Path, num_images: int = 11) -> CfgNode:
    """Random images, some wide and some high, with 0 to 3 boxes; returns the tiny model's config for them."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(num_images):
        width, height = (80, 64) if index % 3 else (64, 80)
        file = folder / f"{index}.png"
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file)
        images.append({"id": index + 1, "file_name": file.name, "width": width, "height": height})
        for _ in range(index % 4):
            x, y = rng.integers(0, 30, 2).tolist()
            box = [x, y, *rng.integers(10, 30, 2).tolist()]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": 1 + len(annotations) % 3,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": f"class{i}"} for i in (1, 2, 3)]
    file = folder / "annotations.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))

    cfg = make_tiny_config()
    name = f"{NAME}_{folder.name}"
    cfg.DATASETS.COCO_JSON = ((name, str(file), str(folder)),)
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (name,)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (48, 64), 96
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 64, 96
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.SOLVER.BASE_LR = 1e-3
    cfg.SOLVER.WARMUP_ITERS = 2
    cfg.SOLVER.MAX_ITER = 8
    cfg.SOLVER.STEPS = (6,)
    cfg.SOLVER.CHECKPOINT_PERIOD = 1000
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "full_model"
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = 0.1
    cfg.TEST.EVAL_PERIOD = 0
    cfg.SEED = 7
    cfg.OUTPUT_DIR = str(folder / "output")
    return cfg


def add_masks(cfg: CfgNode) -> None:
    """Give the objects of :func:`write_dataset` their boxes as masks, and the model a mask head."""
    file = Path(cfg.DATASETS.COCO_JSON[0][1])
    content = json.loads(file.read_text())
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    file.write_text(json.dumps(content))
    masks = make_mask_config().MODEL
    cfg.MODEL.MASK_ON, cfg.MODEL.RESNETS, cfg.MODEL.DETR = True, masks.RESNETS, masks.DETR


def load_written_config(file: str) -> CfgNode:
    """A config that a test dumped to a file, with its data sets registered."""
    cfg = make_tiny_config()
    cfg.merge_from_file(file)
    register_configured(cfg)
    return cfg


class TinyModel(nn.Module):
    """A stand-in for a detector: a linear "backbone" and a linear head, losses by name.

    The mean of each loss is over the images of the batch, or ``normalizers`` divides their sum.
    """

    def __init__(self, joint: bool = False):
        super().__init__()
        self.backbone = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)
        self.register_buffer("counter", torch.zeros((), dtype=torch.int64))
        self.joint = joint

    def loss_normalizers(self, batches: list[list[dict[str, Any]]]) -> float | None:
        return float(sum(len(batch) for batch in batches)) if self.joint else None

    def forward(self, batch: list[dict[str, Any]], normalizers: float | None = None) -> dict[str, Tensor]:
        inputs = torch.stack([x["image"] for x in batch])
        outputs = self.head(self.norm(self.backbone(inputs)))
        divisor = len(batch) if normalizers is None else normalizers
        self.counter += 1
        return {
            "loss_a": outputs[:, 0].square().sum() / divisor,
            "loss_b": outputs[:, 1].abs().sum() / divisor,
        }


def tiny_batches(size: int, seed: int = 0) -> Iterator[list[dict[str, Any]]]:
    """Endless batches for :class:`TinyModel`."""
    generator = torch.Generator().manual_seed(seed)
    number = 0
    while True:
        batch = []
        for _ in range(size):
            batch.append({"image": torch.randn(4, generator=generator), "file_name": f"images/{number}.png"})
            number += 1
        yield batch


def check_training_and_resume(cfg: CfgNode) -> None:
    """Train, evaluate and, from the checkpoint in the middle, end with the same bits once more."""
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.CHECKPOINT_PERIOD = 4, (), 2
    final = {}
    for resumed in (False, True):
        trainer = DetrTrainer(cfg)
        if resumed:
            (Path(cfg.OUTPUT_DIR) / "last_checkpoint").write_text("model_0000001.pth")
        trainer.resume_or_load(resume=resumed)
        assert trainer.start_iter == (2 if resumed else 0)
        trainer.train()
        final[resumed] = trainer.model.state_dict()
        results = DetrTrainer.test(cfg, trainer.model)
        assert {"AP", "AP50"} <= set(results["bbox"])
    assert final[False].keys() == final[True].keys()
    for name, value in final[False].items():
        assert torch.equal(final[True][name], value), name

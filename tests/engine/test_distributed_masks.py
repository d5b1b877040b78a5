"""Masks in two gloo processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor

from detr_d2.engine import argument_parser, launch

from .helpers import add_masks, write_dataset
from .processes import in_double_precision, in_single_precision
from .processes_masks import CASES, gradients_of, main
from .test_distributed import relative_difference


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> tuple[CfgNode, Path, list[dict[str, Any]]]:
    """Config, output folder and results of two processes."""
    cfg = write_dataset(tmp_path_factory.mktemp("two_with_masks"))
    add_masks(cfg)
    cfg.MODEL.DETR.DROPOUT = 0.0
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    folder = Path(cfg.OUTPUT_DIR)
    folder.mkdir()
    cfg.MODEL.DETR.FROZEN_WEIGHTS = str(folder / "detector.pth")
    torch.manual_seed(0)
    torch.save({"model": build_model(cfg).state_dict()}, cfg.MODEL.DETR.FROZEN_WEIGHTS)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 2, ()
    cfg.SOLVER.AMP.ENABLED = True
    cfg.DATASETS.TEST = ()
    file = folder / "test.yaml"
    file.write_text(cfg.dump())
    launch(main, argument_parser().parse_args(["--config-file", str(file), "--num-processes", "2"]))
    return cfg, folder, [torch.load(folder / f"rank{rank}.pth") for rank in (0, 1)]


@pytest.mark.slow
class TestTwoProcessesWithMasks:
    @pytest.mark.parametrize("case", CASES)
    def test_give_the_gradients_of_the_joint_batch(self, ranks: Any, case: str) -> None:
        """One rank has fewer objects than the other, or none, so that what they divide by differs."""
        cfg, _, results = ranks
        in_double_precision()
        try:
            exact = gradients_of(cfg, case, 1, 0)
        finally:
            in_single_precision()
        single = gradients_of(cfg, case, 1, 0)
        assert any(name.startswith("mask_head") for name in exact)
        assert any(name.startswith("backbone") for name in exact) is (case != "joint frozen")
        # Each channel of lay4 is normalized by itself, which takes its bias away.
        zeros = {name for name, x in exact.items() if x.norm() < 1e-12}
        of_masks = {name for name in exact if name.startswith(("mask_head", "bbox_attention"))}
        assert zeros & of_masks == (of_masks if case == "no objects" else {"mask_head.lay4.bias"})
        for result in results:
            figures = []
            for precision, expected in (("float64", exact), ("float32", single)):
                found = result[f"{case} {precision}"]
                assert found.keys() == exact.keys()
                assert all(found[name].norm() < 1e-6 for name in zeros)
                figures.append(relative_difference(*(without(x, zeros) for x in (found, expected))))
            print(f"{case}: float64, float32: {figures}")
            assert figures[0] < 1e-6
            assert figures[1] < 5e-6

    def test_train_a_mask_head_in_mixed_precision_to_the_same_weights(self, ranks: Any) -> None:
        cfg, folder, _ = ranks
        first, second = (torch.load(folder / f"trained{rank}.pth") for rank in (0, 1))
        assert all(torch.equal(first[name], second[name]) for name in first)
        detector = torch.load(cfg.MODEL.DETR.FROZEN_WEIGHTS)["model"]
        changed = {name.split(".")[0] for name, x in first.items() if not torch.equal(x, detector[name])}
        assert changed == {"bbox_attention", "mask_head"}


def without(gradients: dict[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    return {name: gradient for name, gradient in gradients.items() if name not in names}

"""Variants train, are evaluated, saved and resumed as plain DETR is."""

from __future__ import annotations

from pathlib import Path

import torch

from detr_d2.data import register_configured
from detr_d2.engine import DetrTrainer

from .helpers import write_dataset


def test_denoising_with_groups_is_resumed_to_the_same_bits(tmp_path: Path) -> None:
    cfg = write_dataset(tmp_path)
    detr = cfg.MODEL.DETR
    detr.DECODER, detr.AUXILIARY, detr.CLASS_LOSS = "dab", ("denoising", "groups", "encoder"), "focal"
    detr.GROUPS.NUM, detr.DAB.LEARNED_CONTENT = 2, True
    register_configured(cfg)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.CHECKPOINT_PERIOD = 4, (), 2
    final = {}
    for resumed in (False, True):
        trainer = DetrTrainer(cfg)
        if resumed:  # from the checkpoint in the middle
            (Path(cfg.OUTPUT_DIR) / "last_checkpoint").write_text("model_0000001.pth")
        trainer.resume_or_load(resume=resumed)
        trainer.train()
        final[resumed] = trainer.model.state_dict()
    results = DetrTrainer.test(cfg, trainer.model)
    assert {"AP", "AP50"} <= set(results["bbox"])
    for name, value in final[False].items():
        assert torch.equal(final[True][name], value), name

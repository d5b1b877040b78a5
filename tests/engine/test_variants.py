"""Variants train, are evaluated, saved and resumed as plain DETR is."""

from __future__ import annotations

from pathlib import Path

from detr_d2.data import register_configured

from .helpers import check_training_and_resume, write_dataset


def test_denoising_with_groups_is_resumed_to_the_same_bits(tmp_path: Path) -> None:
    cfg = write_dataset(tmp_path)
    detr = cfg.MODEL.DETR
    detr.DECODER, detr.AUXILIARY, detr.CLASS_LOSS = "dab", ("denoising", "groups", "encoder"), "focal"
    detr.GROUPS.NUM, detr.DAB.LEARNED_CONTENT = 2, True
    register_configured(cfg)
    check_training_and_resume(cfg)

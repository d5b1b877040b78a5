"""Variants train, are evaluated, saved and resumed as plain DETR is."""

from __future__ import annotations

from pathlib import Path

import pytest

from detr_d2.data import register_configured

from .helpers import check_training_and_resume, write_dataset


@pytest.mark.parametrize(("decoder", "class_loss"), [("dab", "focal"), ("rpb", "matchability_aware")])
def test_denoising_with_groups_is_resumed_to_the_same_bits(
    tmp_path: Path, decoder: str, class_loss: str
) -> None:
    cfg = write_dataset(tmp_path)
    detr = cfg.MODEL.DETR
    detr.DECODER, detr.AUXILIARY, detr.CLASS_LOSS = decoder, ("denoising", "groups", "encoder"), class_loss
    detr.GROUPS.NUM, detr.DAB.LEARNED_CONTENT = 2, True
    register_configured(cfg)
    check_training_and_resume(cfg)

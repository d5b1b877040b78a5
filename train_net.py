#!/usr/bin/env python
"""Train or evaluate: ``python train_net.py --config-file configs/….yaml [--eval-only] KEY VALUE …``."""

from __future__ import annotations

import argparse
from typing import Any

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.evaluation import verify_results
from detectron2.utils import comm

from detr_d2.data.preflight import preflight
from detr_d2.engine import DetrTrainer, argument_parser, launch, load_for_evaluation, setup


def main(args: argparse.Namespace) -> dict[str, Any] | None:
    """Evaluate with ``--eval-only``, else train; returns the results of the evaluation."""
    cfg = setup(args)
    if args.eval_only:
        preflight(cfg, train=())
        model = DetrTrainer.build_model(cfg)
        load_for_evaluation(cfg, model, resume=args.resume)
        results = DetrTrainer.test(cfg, model)
        if comm.is_main_process():
            verify_results(cfg, results)
        return results
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


if __name__ == "__main__":
    launch(main, argument_parser().parse_args())

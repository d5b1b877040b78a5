"""From nothing to a picture with detections: ``python docs/tutorial.py --output output/tutorial``.

It needs neither a GPU nor the network. The 300 iterations of its default find little yet; ``make demo``
trains 4,400.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detr_d2 import model_zoo
from detr_d2.data import register_configured
from detr_d2.engine import DetrTrainer, load_for_evaluation
from detr_d2.predict import Predictor
from detr_d2.shapes import ShapesConfig, ShapesSize, write_shapes


def tutorial(output: Path, iterations: int, images: int) -> dict[str, float]:
    """Draw data, train, evaluate, and draw what was found.

    Args:
        output: folder for everything.
        iterations: of the training.
        images: to train on; a fifth as many to evaluate on.

    Returns:
        average precision of boxes by its names ("AP", "AP50", …), in percent.
    """
    # 1. A data set in COCO format: here drawn, elsewhere your own json files and folders of images.
    data = output / "data"
    write_shapes(data, ShapesConfig(seed=1), ShapesSize(train=images, val=images // 5))
    files = {
        f"tutorial_{split}": (str(data / "annotations" / f"instances_{split}.json"), str(data / split))
        for split in ("train", "val")
    }

    # 2. A config that comes with detr_d2, and what is different here.
    cfg = model_zoo.get_config("Shapes-Detection/detr_tiny.yaml")
    cfg.DATASETS.COCO_JSON = [(name, *paths) for name, paths in files.items()]
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("tutorial_train",), ("tutorial_val",)
    cfg.SOLVER.MAX_ITER = iterations
    cfg.SOLVER.WARMUP_ITERS = iterations // 10
    cfg.TEST.EVAL_PERIOD = 0  # evaluated below
    cfg.OUTPUT_DIR = str(output)
    register_configured(cfg)
    (output / "config.yaml").write_text(cfg.dump(), "utf-8")

    # 3. Train. With resume=True it would go on where it stopped.
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()

    # 4. Evaluate the weights that it wrote.
    cfg.MODEL.WEIGHTS = str(output / "model_final.pth")
    model = DetrTrainer.build_model(cfg)
    load_for_evaluation(cfg, model, resume=False)
    results = DetrTrainer.test(cfg, model)

    # 5. See what it finds. The threshold is low, because so short a training is not sure of anything.
    predictor = Predictor(str(output / "config.yaml"), cfg.MODEL.WEIGHTS)
    image = next((data / "val").iterdir())
    predictor.draw(str(image), confidence=0.2).save(output / "found.png")
    return dict(results["bbox"])


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the arguments and do it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("output/tutorial"), help="default: %(default)s")
    parser.add_argument("--iterations", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--images", type=int, default=500, help="default: %(default)s")
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    precision = tutorial(args.output, args.iterations, args.images)
    print(f"AP {precision['AP']:.1f}, AP50 {precision['AP50']:.1f}; see {args.output / 'found.png'}")


if __name__ == "__main__":
    main()

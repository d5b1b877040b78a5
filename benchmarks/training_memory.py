"""The tensors that a training step keeps for its backward pass: ``python -m benchmarks.training_memory``.

Most of the memory of a training is these. They are counted, on the CPU, as the storages that autograd holds
when the losses are there. What a GPU needs beside them (workspaces, the allocator's reserve) is not counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from detr_d2 import model_zoo
from detr_d2.engine.optimizer import build_optimizer

GIB = 2**30
OBJECTS = 7  # of an image, about COCO's mean


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_memory",
        description="Count the bytes that a training step keeps for its backward pass.",
    )
    parser.add_argument("--config", default="COCO-Detection/detr_R_50.yaml", help="default: %(default)s")
    parser.add_argument("--images", type=int, default=1, metavar="N", help="of a batch (default: 1)")
    size = "of an image (default: 800 1333)"
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1333), metavar=("H", "W"), help=size)
    parser.add_argument("--bfloat16", action="store_true", help="as SOLVER.AMP.ENABLED")
    return parser


def kept_for_backward(forward: Callable[[], object], without: Iterable[Tensor] = ()) -> int:
    """Bytes of the storages that autograd keeps of a computation, each counted once.

    Args:
        forward: the computation.
        without: tensors whose storages are not counted.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in without}
    kept: dict[int, Tensor] = {}  # the tensors themselves, so that no address is given out again

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    del result
    return sum(t.untyped_storage().nbytes() for address, t in kept.items() if address not in own)


def model_bytes(cfg: CfgNode, model: nn.Module) -> int:
    """Bytes of a model's weights and, of those that are trained, gradients and AdamW's two averages."""
    groups = build_optimizer(cfg, model).param_groups
    trained = sum(parameter.nbytes for group in groups for parameter in group["params"])
    return 3 * trained + sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


def example(size: Sequence[int], classes: int) -> dict[str, object]:
    """An element of a batch of so high and wide images, with random pixels and boxes."""
    height, width = size
    instances = Instances((height, width))
    corners = torch.rand(OBJECTS, 2, 2).sort(dim=1).values * torch.tensor([width, height])
    instances.gt_boxes = Boxes(corners.flatten(1))
    instances.gt_classes = torch.randint(classes, (OBJECTS,))
    image = torch.randint(256, (3, height, width), dtype=torch.uint8)
    return {"file_name": "", "image": image, "height": height, "width": width, "instances": instances}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    args = build_parser().parse_args(argv)
    torch.manual_seed(0)
    cfg = model_zoo.get_config(args.config)
    cfg.MODEL.DEVICE = "cpu"
    model: nn.Module = build_model(cfg)
    batch = [example(args.size, cfg.MODEL.DETR.NUM_CLASSES) for _ in range(args.images)]
    with torch.autocast("cpu", torch.bfloat16, enabled=args.bfloat16):
        kept = kept_for_backward(lambda: model(batch), (*model.parameters(), *model.buffers()))
    height, width = args.size
    print(f"{args.config}, {args.images} of {height}x{width}, {'bfloat16' if args.bfloat16 else 'float32'}:")
    print(f"weights, gradients, optimizer  {model_bytes(cfg, model) / GIB:.2f} GiB")
    print(f"kept for the backward pass     {kept / GIB:.2f} GiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

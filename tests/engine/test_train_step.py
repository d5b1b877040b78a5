from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from torch import nn

from detr_d2.engine.train_step import TrainStep, amp_dtype

from ..conftest import make_input
from .helpers import TinyModel, tiny_batches
from .processes import in_double_precision, in_single_precision


def sgd(model: nn.Module, lr: float = 0.1) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=lr)


def run(step: TrainStep, iterations: int = 1) -> EventStorage:
    with EventStorage() as storage:
        for _ in range(iterations):
            storage.iter = step.iter
            step.run_step()
            step.iter += 1
        step.finish()
    return storage


@pytest.mark.parametrize("joint", [False, True])
def test_micro_batches_of_equal_size_give_the_gradient_of_their_union(joint: bool) -> None:
    model = TinyModel(joint)
    step = TrainStep(model, sgd(model, lr=0.0), accumulation_steps=3)
    step.read_from(tiny_batches(2))
    storage = run(step)

    union = next(tiny_batches(6))
    whole = TinyModel()
    whole.load_state_dict(model.state_dict())
    losses = whole(union)
    sum(losses.values()).backward()
    for (name, p), q in zip(model.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-6, atol=1e-7, msg=name)
    logged = {name: value for name, (value, _) in storage.latest().items()}
    assert logged["loss_a"] == pytest.approx(losses["loss_a"].item(), rel=1e-5)
    assert logged["total_loss"] == pytest.approx(sum(losses.values()).item(), rel=1e-5)


def detr_gradients(cfg: CfgNode, micro_batches: list[list[dict[str, Any]]]) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    model = build_model(cfg)
    step = TrainStep(model, sgd(model, lr=0.0), accumulation_steps=len(micro_batches))
    step.read_from(itertools.cycle(micro_batches))
    run(step)
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize(
    ("normalization", "double"), [("joint", True), ("joint", False), ("per_process", False)]
)
def test_detr_accumulates_to_the_joint_batch_only_with_joint_normalisation(
    tiny_config: CfgNode, normalization: str, double: bool
) -> None:
    tiny_config.MODEL.DETR.DROPOUT = 0.0
    tiny_config.MODEL.RESNETS.NORM = "FrozenBN"
    tiny_config.MODEL.DETR.LOSS_NORMALIZATION = normalization
    images = [make_input(64, 96, count) for count in (5, 1, 0, 2)]
    if double:
        in_double_precision()
    try:
        whole = detr_gradients(tiny_config, [images])
        parts = detr_gradients(tiny_config, [images[:2], images[2:]])
    finally:
        if double:
            in_single_precision()
    worst = max(float((parts[n] - whole[n]).norm() / (whole[n].norm() + 1e-12)) for n in whole)
    print(f"{normalization}, {'float64' if double else 'float32'}: {worst:.1e}")
    if normalization == "joint":
        assert worst < (1e-12 if double else 2e-6)
    else:
        assert worst > 1e-2


def test_gradients_are_clipped_once_after_they_were_summed() -> None:
    model = TinyModel()
    norms = []

    def clip(parameters: list[nn.Parameter]) -> torch.Tensor:
        norms.append(nn.utils.clip_grad_norm_(parameters, 0.01))
        return norms[-1]

    step = TrainStep(model, sgd(model, 1.0), accumulation_steps=2, clip_gradients=clip)
    step.read_from(tiny_batches(2))
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    storage = run(step)
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert len(norms) == 1
    assert float((after - before).norm()) == pytest.approx(0.01, rel=1e-3)
    assert storage.latest()["grad_norm"] == (pytest.approx(float(norms[0])), 0)


class Breaks(TinyModel):
    """Gives a NaN or infinite loss, or gradient, for one image."""

    def __init__(self, image: str, kind: str):
        super().__init__()
        self.image, self.kind = image, kind

    def forward(
        self, batch: list[dict[str, Any]], normalizers: float | None = None
    ) -> dict[str, torch.Tensor]:
        losses = super().forward(batch, normalizers)
        if any(x["file_name"] == self.image for x in batch):
            if self.kind == "error":
                raise FloatingPointError("NaN in the matching")
            if self.kind == "gradient":
                losses["loss_b"] = losses["loss_b"] * 0 + (losses["loss_b"] * 0).sqrt()
            else:
                losses["loss_b"] = losses["loss_b"] * float(self.kind)
        return losses


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_a_non_finite_loss_stops_before_the_update_and_names_iteration_loss_and_files(kind: str) -> None:
    model = Breaks("images/9.png", kind)  # second micro-batch of iteration 2
    step = TrainStep(model, sgd(model), accumulation_steps=2)
    step.read_from(tiny_batches(2))
    run(step, 2)
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(FloatingPointError) as error:
        run(step)
    message = str(error.value)
    assert "iteration 2" in message
    assert f"loss_b {kind}" in message
    assert "images: images/8.png, images/9.png" in message
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))


def test_only_the_micro_batch_with_the_bad_loss_is_named() -> None:
    model = Breaks("images/10.png", "nan")  # micro-batches of iteration 2: 8, 9 and 10, 11
    step = TrainStep(model, sgd(model), accumulation_steps=2)
    step.read_from(tiny_batches(2))
    with pytest.raises(FloatingPointError) as error:
        run(step, 3)
    named = {part.strip(" ,;") for part in str(error.value).split() if part.startswith("images/")}
    assert named == {"images/10.png", "images/11.png"}


def test_an_error_inside_the_model_gets_iteration_and_files() -> None:
    model = Breaks("images/3.png", "error")
    step = TrainStep(model, sgd(model))
    step.read_from(tiny_batches(2))
    with pytest.raises(
        FloatingPointError, match=r"iteration 1: NaN in the matching .*images/2.png, images/3.png"
    ):
        run(step, 2)


def test_a_non_finite_gradient_with_finite_losses_stops_the_training() -> None:
    model = Breaks("images/2.png", "gradient")
    clip = lambda parameters: nn.utils.clip_grad_norm_(parameters, 1.0)  # noqa: E731
    step = TrainStep(model, sgd(model), clip_gradients=clip)
    step.read_from(tiny_batches(2))
    with pytest.raises(FloatingPointError, match=r"gradient .* iteration 1.*images/2.png, images/3.png"):
        run(step, 2)


def test_bfloat16_trains_on_the_cpu_with_float32_weights_and_losses(tiny_config: CfgNode) -> None:
    tiny_config.SOLVER.AMP.ENABLED = True
    model = build_model(tiny_config)
    types: dict[str, torch.dtype] = {}
    model.input_proj.register_forward_hook(lambda m, i, out: types.update(projection=out.dtype))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    step = TrainStep(model, optimizer, amp_dtype=amp_dtype(tiny_config))
    step.read_from(itertools.repeat([make_input(64, 64, 2), make_input(64, 48, 1)]))
    storage = run(step, 15)
    assert types == {"projection": torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    losses = [value for value, _ in storage.history("total_loss").values()]
    assert losses[-1] < 0.8 * losses[0]


def test_amp_keys_are_checked(tiny_config: CfgNode) -> None:
    assert amp_dtype(tiny_config) is None
    tiny_config.SOLVER.AMP.ENABLED = True
    tiny_config.SOLVER.AMP.DTYPE = "float16"
    with pytest.raises(ValueError, match=r"SOLVER\.AMP\.DTYPE float16 needs a GPU"):
        amp_dtype(tiny_config)
    tiny_config.SOLVER.AMP.DTYPE = "half"
    with pytest.raises(ValueError, match=r"SOLVER\.AMP\.DTYPE is 'half'.*bfloat16, float16"):
        amp_dtype(tiny_config)


def test_an_optimizer_of_other_groups_is_refused_when_resuming() -> None:
    model = TinyModel()
    state = TrainStep(model, sgd(model)).state_dict()
    other = torch.optim.SGD([{"name": "backbone", "params": list(model.backbone.parameters())}], lr=0.1)
    with pytest.raises(ValueError, match="cannot resume.*backbone"):
        TrainStep(model, other).load_state_dict(state)


def test_pending_losses_are_written_under_their_own_iteration() -> None:
    """What a GPU does, tried on the CPU: losses are read one iteration later."""
    model = Breaks("images/4.png", "nan")
    step = TrainStep(model, sgd(model))
    step.read_from(tiny_batches(2))
    step.device = torch.device("meta")  # anything but the CPU
    with EventStorage() as storage:
        for step.iter in range(2):
            storage.iter = step.iter
            step.run_step()
        assert [iteration for _, iteration in storage.history("total_loss").values()] == [0]
        step.finish()
        assert [iteration for _, iteration in storage.history("total_loss").values()] == [0, 1]
        step.iter = storage.iter = 2
        step.run_step()
        with pytest.raises(FloatingPointError, match="iteration 2.*images/4.png"):
            step.state_dict()  # so that no checkpoint is written of it

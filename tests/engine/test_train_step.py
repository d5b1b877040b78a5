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

from detr_d2.engine.failed_step import Step
from detr_d2.engine.means import Means
from detr_d2.engine.train_step import TrainStep
from detr_d2.errors import NonFiniteError
from detr_d2.modeling.precision import training_dtype

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
def test_detr_accumulates_to_the_joint_batch_only_with_joint_normalization(
    tiny_config: CfgNode, normalization: str, double: bool
) -> None:
    tiny_config.MODEL.DETR.DROPOUT = 0.0
    tiny_config.MODEL.RESNETS.NORM = "FrozenBN"
    tiny_config.MODEL.DETR.AUXILIARY = ("encoder",)
    tiny_config.MODEL.DETR.LOSS_NORMALIZATION = normalization
    sizes = ((64, 96, 5), (48, 70, 1), (40, 96, 0), (64, 33, 2))  # every micro-batch is padded to 64 x 96
    images = [make_input(*size) for size in sizes]
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


@pytest.mark.parametrize("clips", [False, True])
def test_a_non_finite_gradient_with_finite_losses_stops_before_the_update(clips: bool) -> None:
    model = Breaks("images/2.png", "gradient")
    clip = {"clip_gradients": lambda parameters: nn.utils.clip_grad_norm_(parameters, 1.0)} if clips else {}
    step = TrainStep(model, sgd(model), **clip)
    step.read_from(tiny_batches(2))
    run(step)
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(NonFiniteError, match=r"gradient .* iteration 1.*images/2.png, images/3.png"):
        run(step)
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))


class Broken(TinyModel):
    """Says which image it was."""

    broken: tuple[int, ...] = ()

    def forward(
        self, batch: list[dict[str, Any]], normalizers: float | None = None
    ) -> dict[str, torch.Tensor]:
        self.broken = tuple(i for i, x in enumerate(batch) if x["file_name"] == "images/5.png")
        factor = float("nan") if self.broken else 1.0
        return {name: loss * factor for name, loss in super().forward(batch, normalizers).items()}


def test_a_model_that_knows_which_image_it_was_has_it_named_alone() -> None:
    model = Broken()
    step = TrainStep(model, sgd(model), accumulation_steps=2)
    step.read_from(tiny_batches(2))
    with pytest.raises(NonFiniteError) as error:
        run(step, 2)
    assert "images: images/5.png" in str(error.value)
    assert "images/4.png" not in str(error.value)


def test_losses_are_on_their_way_to_the_host_before_backward_and_read_before_the_update(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, events = TinyModel(), []
    model.head.weight.register_hook(lambda gradient: events.append("backward"))
    optimizer = sgd(model)
    optimizer.register_step_pre_hook(lambda *_: events.append("update"))

    class Noted(Means):
        def __init__(self, values: torch.Tensor):
            super().__init__(values)
            events.append(f"{len(values)} on their way")

        def read(self) -> list[float]:
            events.append("read")
            return super().read()

    monkeypatch.setattr("detr_d2.engine.train_step.Means", Noted)
    step = TrainStep(model, optimizer, accumulation_steps=2)
    step.read_from(tiny_batches(2))
    run(step)
    losses = ["backward", "2 on their way", "backward"]
    assert events == [*losses, "1 on their way", "read", "read", "update"]


def test_a_step_that_failed_is_kept_as_it_was_before_the_update() -> None:
    model = Breaks("images/9.png", "nan")
    kept = []

    def keep(bare: nn.Module, step: Step, names: list[str], losses: torch.Tensor) -> str:
        kept.append((step, names, losses))
        return "some/file.pth"

    step = TrainStep(model, sgd(model), accumulation_steps=2, keep=keep)
    step.read_from(tiny_batches(2))
    with pytest.raises(NonFiniteError, match=r"replay some/file\.pth"):
        run(step, 3)
    ((failed, names, losses),) = kept
    assert failed.iteration == 2
    files = [[x["file_name"] for x in batch] for batch in failed.micro_batches]
    assert files == [["images/8.png", "images/9.png"], ["images/10.png", "images/11.png"]]
    assert names == ["loss_a", "loss_b"]
    assert losses.isfinite().tolist() == [[True, False], [True, True]]


def test_a_file_that_cannot_be_written_does_not_hide_the_loss() -> None:
    def keep(*_: object) -> str:
        raise OSError("no space left")

    model = Breaks("images/0.png", "nan")
    step = TrainStep(model, sgd(model), keep=keep)
    step.read_from(tiny_batches(1))
    with pytest.raises(NonFiniteError, match=r"images/0\.png.*no space left"):
        run(step)


def test_bfloat16_trains_on_the_cpu_with_float32_weights_and_losses(
    tiny_config: CfgNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_config.SOLVER.AMP.ENABLED = True
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    model = build_model(tiny_config)
    types: dict[str, torch.dtype] = {}
    model.input_proj.register_forward_hook(lambda m, i, out: types.update(projection=out.dtype))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    step = TrainStep(model, optimizer, amp_dtype=training_dtype(tiny_config))
    step.read_from(itertools.repeat([make_input(64, 64, 2), make_input(64, 48, 1)]))
    storage = run(step, 15)
    assert types == {"projection": torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    losses = [value for value, _ in storage.history("total_loss").values()]
    assert losses[-1] < 0.8 * losses[0]


def test_an_optimizer_of_other_groups_is_refused_when_resuming() -> None:
    model = TinyModel()
    state = TrainStep(model, sgd(model)).state_dict()
    other = torch.optim.SGD([{"name": "backbone", "params": list(model.backbone.parameters())}], lr=0.1)
    with pytest.raises(ValueError, match="parameter group"):
        TrainStep(model, other).load_state_dict(state)

import pytest
import torch
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from detr_d2.modeling.losses import dice_loss, focal_loss


@pytest.fixture
def masks() -> tuple[Tensor, Tensor]:
    return 4 * torch.randn(3, 5, 7), torch.rand(3, 5, 7) > 0.6


def test_focal_loss_sums_torchvisions_means(masks: tuple[Tensor, Tensor]) -> None:
    logits, wanted = masks
    for alpha, gamma in ((0.25, 2.0), (0.9, 3.0)):
        expected = sum(
            sigmoid_focal_loss(a, b.float(), alpha, gamma, reduction="mean")
            for a, b in zip(logits, wanted, strict=True)
        )
        assert isinstance(expected, Tensor)
        torch.testing.assert_close(focal_loss(logits, wanted, alpha, gamma), expected)


def test_dice_loss_by_hand() -> None:
    """Probabilities 1/2 everywhere, two of six pixels in the mask: overlap 1, sums 3 and 2."""
    logits, masks = torch.zeros(1, 2, 3), torch.tensor([[[True, True, False], [False, False, False]]])
    assert dice_loss(logits, masks).item() == pytest.approx(1 - (2 * 1 + 1) / (3 + 2 + 1))
    assert dice_loss(logits.repeat(4, 1, 1), masks.repeat(4, 1, 1)).item() == pytest.approx(4 * 0.5)


def test_perfect_and_empty_masks_cost_nothing_and_stay_finite() -> None:
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, :2] = True
    logits = torch.where(masks, 200.0, -200.0).requires_grad_()
    for loss in (focal_loss(logits, masks), dice_loss(logits, masks)):
        assert loss.item() == pytest.approx(0.0, abs=1e-6)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert gradient.isfinite().all()
    wrong = focal_loss(-logits, masks)
    assert wrong.item() == pytest.approx(200 * (0.5 * 0.25 + 0.5 * 0.75) + 200 * 0.75)


def test_gradients_are_right(masks: tuple[Tensor, Tensor]) -> None:
    logits, wanted = masks[0].double().requires_grad_(), masks[1]
    assert torch.autograd.gradcheck(lambda x: focal_loss(x, wanted), logits)
    assert torch.autograd.gradcheck(lambda x: dice_loss(x, wanted), logits)

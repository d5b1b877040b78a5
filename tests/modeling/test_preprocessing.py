from types import SimpleNamespace
from typing import Any

import pytest
import torch

from detr_d2.errors import ConfigError
from detr_d2.modeling.preprocessing import pad_images, padding_mask, resize_padding_mask


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        ({"size_divisibility": 0}, (5, 7)),
        ({"size_divisibility": 4}, (8, 8)),
        ({"size_divisibility": 4, "padding_constraints": {}}, (8, 8)),
        ({"size_divisibility": 4, "padding_constraints": {"size_divisibility": 6}}, (6, 12)),
        ({"size_divisibility": 0, "padding_constraints": {"square_size": 9}}, (9, 9)),
        ({"size_divisibility": 4, "padding_constraints": {"square_size": 9}}, (12, 12)),
    ],
)
def test_batches_are_as_large_as_the_backbone_asks_for(
    backbone: dict[str, Any], size: tuple[int, int]
) -> None:
    images = [torch.rand(3, 5, 2), torch.rand(3, 3, 7)]
    for count in (2, 1):
        batch = pad_images(images[-2:] if count == 2 else [torch.ones(3, 5, 7)], SimpleNamespace(**backbone))
        assert batch.tensor.shape == (count, 3, *size)
    batch = pad_images(images, SimpleNamespace(**backbone))
    assert batch.image_sizes == [(5, 2), (3, 7)]
    for padded, image in zip(batch.tensor, images, strict=True):
        expected = torch.zeros(3, *size)
        expected[:, : image.shape[1], : image.shape[2]] = image
        assert torch.equal(padded, expected)


def test_an_image_that_a_square_has_no_room_for_is_refused() -> None:
    backbone = SimpleNamespace(size_divisibility=0, padding_constraints={"square_size": 6})
    with pytest.raises(ConfigError, match=r"5 x 7 .*6 x 6"):
        pad_images([torch.rand(3, 5, 7)], backbone)


def test_equal_sizes_need_no_mask() -> None:
    assert padding_mask([(4, 5), (4, 5)], (4, 5), torch.device("cpu")) is None


def test_mask_is_true_on_padding_only() -> None:
    mask = padding_mask([(2, 3), (4, 1)], (4, 3), torch.device("cpu"))
    expected = torch.ones(2, 4, 3, dtype=torch.bool)
    expected[0, :2, :3] = False
    expected[1, :4, :1] = False
    assert mask is not None
    assert torch.equal(mask, expected)


def test_feature_cells_take_the_mask_at_the_floor_of_their_scaled_index() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        height, width, h, w = (int(n) for n in torch.randint(1, 60, (4,), generator=generator))
        h, w = min(h, height), min(w, width)
        mask = torch.rand(1, height, width, generator=generator) < 0.5
        resized = resize_padding_mask(mask, (h, w))
        for i in range(h):
            for j in range(w):
                assert resized[0, i, j] == mask[0, i * height // h, j * width // w]


def test_an_image_that_ends_inside_a_cell_is_not_rounded_up() -> None:
    # 70 of 100 pixels at stride 32 are ceil(70 / 32) = 3 cells, 80 pixels too. But the 4 cells of the batch
    # start at pixels 0, 25, 50 and 75, so that with 80 pixels the fourth is image as well.
    for size, padded, cells, expected in ((70, 100, 4, 3), (80, 100, 4, 4), (75, 100, 4, 3), (76, 100, 4, 4)):
        mask = padding_mask([(1, size)], (1, padded), torch.device("cpu"))
        assert mask is not None
        assert int((~resize_padding_mask(mask, (1, cells))).sum()) == expected

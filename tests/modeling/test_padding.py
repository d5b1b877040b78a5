import torch

from detr_d2.modeling.padding import padding_mask, resize_padding_mask


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

import math

import pytest
import torch

from detr_d2.modeling.position_encoding import (
    LearnedPositionEncoding,
    SinePositionEncoding,
    reference_waves,
)


def test_sine_of_a_two_by_three_map_is_the_hand_computed_one() -> None:
    encoding = SinePositionEncoding(8, 10000.0, False)(torch.zeros(1, 2, 3, dtype=torch.bool))
    # Cell (row 0, column 1): y = 1 of 2, x = 2 of 3, both scaled to 2π at the end; 4 channels each,
    # frequencies 1 and 10000^(-2/4) = 1/100.
    y = 1 / (2 + 1e-6) * 2 * math.pi
    x = 2 / (3 + 1e-6) * 2 * math.pi
    expected = [
        f(position / divisor) for position in (y, x) for divisor in (1.0, 100.0) for f in (math.sin, math.cos)
    ]
    torch.testing.assert_close(encoding[0, :, 0, 1], torch.tensor(expected), atol=1e-6, rtol=0)


def test_sine_counts_valid_cells_only() -> None:
    mask = torch.zeros(1, 4, 5, dtype=torch.bool)
    mask[:, 3:] = True
    mask[:, :, 2:] = True
    whole = SinePositionEncoding(16, 10000.0, False)(torch.zeros(1, 3, 2, dtype=torch.bool))
    torch.testing.assert_close(SinePositionEncoding(16, 10000.0, False)(mask)[:, :, :3, :2], whole)


def test_sine_refuses_channels_that_do_not_split_into_waves() -> None:
    with pytest.raises(ValueError, match="divisible by 4, not 6"):
        SinePositionEncoding(6, 10000.0, False)


def test_learned_has_the_column_first_and_the_row_second() -> None:
    module = LearnedPositionEncoding(6)
    encoding = module(torch.zeros(2, 4, 5, dtype=torch.bool))
    assert encoding.shape == (2, 6, 4, 5)
    expected = torch.cat([module.col_embed.weight[3], module.row_embed.weight[1]])
    assert torch.equal(encoding[1, :, 1, 3], expected)


def test_learned_says_when_the_feature_map_is_larger_than_the_table() -> None:
    with pytest.raises(ValueError, match="50 rows.* 25 x 84.*INPUT.MAX_SIZE_TEST"):
        LearnedPositionEncoding(8)(torch.zeros(1, 25, 84, dtype=torch.bool))


def test_centered_cells_have_the_encoding_of_the_points_at_their_centers() -> None:
    mask = torch.zeros(1, 3, 5, dtype=torch.bool)
    mask[:, 2:] = mask[:, :, 4:] = True  # 2 x 4 cells of an image
    code = SinePositionEncoding(8, 20.0, True)(mask)
    for row in range(2):
        for column in range(4):
            point = torch.tensor([(column + 0.5) / 4, (row + 0.5) / 2])
            expected = reference_waves(point, 8, 20.0)
            torch.testing.assert_close(code[0, :, row, column], expected, rtol=0, atol=1e-5)

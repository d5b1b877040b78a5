import math

import numpy as np
import pytest
import torch

from detr_d2.modeling.postprocessing import instance_masks

from .mask_oracles import bilinear
from .recipe import found


def test_a_hand_worked_detection() -> None:
    logits = torch.tensor([[[0.0, math.log(3.0), math.log(4.0)]]])  # probabilities 1/8, 3/8 and 4/8
    boxes = torch.tensor([[[0.5, 0.25, 0.2, 0.1]]])
    ((result, queries),) = found(logits, boxes, [(100, 200)])
    assert result.image_size == (100, 200)
    assert result.pred_classes.tolist() == [1], "the best object class, although no-object is likelier"
    torch.testing.assert_close(result.scores, torch.tensor([0.375]))
    torch.testing.assert_close(result.pred_boxes.tensor, torch.tensor([[80.0, 20.0, 120.0, 30.0]]))
    assert queries.tolist() == [0]


def test_every_query_is_kept_in_its_place_and_no_box_is_clipped() -> None:
    logits = torch.randn(2, 7, 4)
    boxes = torch.rand(2, 7, 4)
    boxes[0, 3] = torch.tensor([0.0, 0.0, 0.0, 0.0])  # no area
    boxes[1, 2] = torch.tensor([0.9, 0.9, 1.0, 1.0])  # reaches outside
    (first, queries), (second, _) = found(logits, boxes, [(10, 20), (30, 40)])
    assert len(first) == len(second) == 7
    assert queries.tolist() == list(range(7))
    assert first.pred_boxes.tensor[3].tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(second.pred_boxes.tensor[2], torch.tensor([16.0, 12.0, 56.0, 42.0]))
    torch.testing.assert_close(second.scores, logits[1].softmax(-1)[:, :3].amax(-1))


def test_only_queries_whose_best_class_is_a_thing_are_kept_with_their_numbers() -> None:
    best = [2, 0, 4, 3, 4, 1]
    logits = torch.nn.functional.one_hot(torch.tensor([best]), 6) * 5.0
    logits[0, 0, 4] = 4.9  # a thing comes second: the query is of stuff all the same
    boxes = torch.rand(1, 6, 4)
    ((result, queries),) = found(logits, boxes, [(50, 50)], things=[1, 4])
    assert queries.tolist() == [2, 4, 5]
    assert result.pred_classes.tolist() == [4, 4, 1]
    ((everything, _),) = found(logits, boxes, [(50, 50)])
    assert torch.equal(result.pred_boxes.tensor, everything.pred_boxes.tensor[[2, 4, 5]])
    assert torch.equal(result.scores, everything.scores[[2, 4, 5]])
    ((nothing, _),) = found(logits, boxes, [(50, 50)], things=[])
    assert len(nothing) == 0


def test_instances_below_the_score_threshold_are_left_out() -> None:
    logits = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5]]).log()[None]
    ((result, queries),) = found(logits, torch.rand(1, 3, 4), [(8, 8)], score_threshold=0.4)
    assert queries.tolist() == [0, 2]
    torch.testing.assert_close(result.scores, torch.tensor([0.9, 0.5]))


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_instance_masks_are_decided_pixel_by_pixel_at_the_models_size(threshold: float) -> None:
    """Masks are cut to the image, then each pixel of the result takes the one at its corner."""
    logits = torch.randn(3, 5, 7)
    padded, image, output = (20, 28), (17, 23), (31, 11)
    masks = instance_masks(logits, padded, image, output, threshold)
    assert masks.dtype == torch.bool
    expected = np.zeros((3, *output), dtype=bool)
    for n in range(3):
        probability = 1 / (1 + np.exp(-bilinear(logits[n].numpy(), padded)))
        for y in range(output[0]):
            for x in range(output[1]):
                corner = y * image[0] // output[0], x * image[1] // output[1]
                expected[n, y, x] = probability[corner] > threshold
    assert np.array_equal(masks.numpy(), expected)
    assert 0.1 < expected.mean() < 0.9


def test_instance_masks_of_no_queries_have_the_images_size() -> None:
    masks = instance_masks(torch.zeros(0, 5, 7), (20, 28), (17, 23), (31, 11), 0.5)
    assert masks.shape == (0, 31, 11)
    assert masks.dtype == torch.bool


@pytest.mark.parametrize(("threshold", "share"), [(0.0, 1.0), (1.0, 0.0)])
def test_the_extreme_mask_thresholds_take_all_or_nothing(threshold: float, share: float) -> None:
    masks = instance_masks(torch.randn(2, 4, 4), (16, 16), (16, 16), (16, 16), threshold)
    assert masks.float().mean() == share

import math

import torch

from detr_d2.modeling.postprocessing import detections


def test_a_hand_worked_detection() -> None:
    logits = torch.tensor([[[0.0, math.log(3.0), math.log(4.0)]]])  # probabilities 1/8, 3/8 and 4/8
    boxes = torch.tensor([[[0.5, 0.25, 0.2, 0.1]]])
    (result,) = detections(logits, boxes, [(100, 200)])
    assert result.image_size == (100, 200)
    assert result.pred_classes.tolist() == [1], "the best object class, although no-object is likelier"
    torch.testing.assert_close(result.scores, torch.tensor([0.375]))
    torch.testing.assert_close(result.pred_boxes.tensor, torch.tensor([[80.0, 20.0, 120.0, 30.0]]))


def test_every_query_is_kept_in_its_place_and_no_box_is_clipped() -> None:
    logits = torch.randn(2, 7, 4)
    boxes = torch.rand(2, 7, 4)
    boxes[0, 3] = torch.tensor([0.0, 0.0, 0.0, 0.0])  # no area
    boxes[1, 2] = torch.tensor([0.9, 0.9, 1.0, 1.0])  # reaches outside
    first, second = detections(logits, boxes, [(10, 20), (30, 40)])
    assert len(first) == len(second) == 7
    assert first.pred_boxes.tensor[3].tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(second.pred_boxes.tensor[2], torch.tensor([16.0, 12.0, 56.0, 42.0]))
    torch.testing.assert_close(second.scores, logits[1].softmax(-1)[:, :3].amax(-1))

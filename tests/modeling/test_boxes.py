import torch
import torchvision.ops

from detr_d2.modeling.boxes import cxcywh_to_xyxy, generalized_box_iou, xyxy_to_cxcywh


def random_boxes(n: int) -> torch.Tensor:
    return torch.cat([torch.rand(n, 2), torch.rand(n, 2) + 0.01], dim=1)  # cx, cy, w, h


def test_conversion_agrees_with_torchvision_both_ways() -> None:
    boxes = random_boxes(50)
    corners = torchvision.ops.box_convert(boxes, "cxcywh", "xyxy")
    torch.testing.assert_close(cxcywh_to_xyxy(boxes), corners)
    torch.testing.assert_close(xyxy_to_cxcywh(corners), boxes)


def test_generalized_iou_agrees_with_torchvision() -> None:
    a, b = cxcywh_to_xyxy(random_boxes(30)), cxcywh_to_xyxy(random_boxes(40))
    expected = torchvision.ops.generalized_box_iou(a, b)
    torch.testing.assert_close(generalized_box_iou(a[:, None], b[None]), expected)


def test_generalized_iou_of_hand_worked_boxes() -> None:
    unit = torch.tensor([0.0, 0.0, 1.0, 1.0])
    others = torch.tensor(
        [[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 2.0, 1.0], [3.0, 0.0, 4.0, 1.0], [0.0, 0.0, 2.0, 1.0]]
    )
    # the same; touching; two boxes away (hull 4, union 2); twice as wide
    expected = torch.tensor([1.0, 0.0, -0.5, 0.5])
    torch.testing.assert_close(generalized_box_iou(unit, others), expected)

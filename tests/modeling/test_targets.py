import torch
from detectron2.structures import Boxes, Instances

from detr_d2.modeling import Targets


def instances(size: tuple[int, int], boxes: list[list[float]], classes: list[int]) -> Instances:
    result = Instances(size)
    result.gt_boxes = Boxes(torch.tensor(boxes).view(-1, 4))
    result.gt_classes = torch.tensor(classes, dtype=torch.int64)
    return result


def test_boxes_become_centre_and_size_as_a_share_of_their_own_image() -> None:
    targets = Targets.from_instances(
        [
            instances((100, 200), [[20.0, 10.0, 60.0, 40.0]], [4]),
            instances((50, 50), [[0.0, 0.0, 50.0, 50.0], [5.0, 10.0, 15.0, 20.0]], [0, 2]),
            instances((50, 60), [], []),
        ],
        torch.device("cpu"),
    )
    assert targets.counts == (1, 2, 0)
    assert targets.labels.tolist() == [[4, 0], [0, 2], [0, 0]]
    expected = [
        [[0.2, 0.25, 0.2, 0.3], [0, 0, 0, 0]],
        [[0.5, 0.5, 1.0, 1.0], [0.2, 0.3, 0.2, 0.2]],
        [[0, 0, 0, 0], [0, 0, 0, 0]],
    ]
    torch.testing.assert_close(targets.boxes, torch.tensor(expected))


def test_a_batch_without_objects_is_empty_but_typed() -> None:
    targets = Targets.from_instances([instances((5, 5), [], [])] * 2, torch.device("cpu"))
    assert targets.labels.shape == (2, 0)
    assert targets.boxes.shape == (2, 0, 4)
    assert targets.labels.dtype == torch.int64


def test_repeating_and_picking_every_one_are_inverse() -> None:
    targets = Targets(torch.tensor([[1, 2], [3, 0]]), torch.rand(2, 2, 4), counts=(2, 1))
    repeated = targets.repeated(3)
    assert repeated.labels.tolist() == [[1, 2]] * 3 + [[3, 0]] * 3
    assert repeated.counts == (2, 2, 2, 1, 1, 1)
    back = repeated.every(3)
    assert torch.equal(back.labels, targets.labels)
    assert torch.equal(back.boxes, targets.boxes)
    assert back.counts == targets.counts

import pytest
import torch
from detectron2.structures import BitMasks, Boxes, ImageList, Instances, PolygonMasks

from detr_d2.modeling import Targets


def instances(size: tuple[int, int], boxes: list[list[float]], classes: list[int]) -> Instances:
    result = Instances(size)
    result.gt_boxes = Boxes(torch.tensor(boxes).view(-1, 4))
    result.gt_classes = torch.tensor(classes, dtype=torch.int64)
    return result


def test_boxes_become_center_and_size_as_a_share_of_their_own_image() -> None:
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


def test_repeating_puts_the_copies_of_an_image_in_a_row() -> None:
    targets = Targets(torch.tensor([[1, 2], [3, 0]]), torch.rand(2, 2, 4), counts=(2, 1))
    repeated = targets.repeated(3)
    assert repeated.labels.tolist() == [[1, 2]] * 3 + [[3, 0]] * 3
    assert repeated.counts == (2, 2, 2, 1, 1, 1)
    assert torch.equal(repeated.boxes[1::3], targets.boxes)


def test_masks_are_those_of_each_image_and_left_out_unless_asked_for() -> None:
    one = instances((3, 4), [[0.0, 0.0, 1.0, 1.0]] * 2, [1, 2])
    one.gt_masks = BitMasks(torch.rand(2, 3, 4) > 0.5)
    other = instances((2, 5), [], [])  # has no masks, and needs none
    targets = Targets.from_instances([one, other], torch.device("cpu"), with_masks=True)
    assert targets.masks is not None
    assert torch.equal(targets.masks[0], one.gt_masks.tensor)
    assert targets.masks[1].shape == (0, 2, 5)
    assert {masks.dtype for masks in targets.masks} == {torch.bool}
    assert Targets.from_instances([one, other], torch.device("cpu")).masks is None


def test_masks_take_no_more_memory_than_the_objects_have_pixels() -> None:
    counts, sizes = (40, 1, 0, 2), [(30, 40), (50, 20), (9, 9), (20, 50)]
    batch = []
    for count, size in zip(counts, sizes, strict=True):
        batch.append(instances(size, [[0.0, 0.0, 1.0, 1.0]] * count, [0] * count))
        batch[-1].gt_masks = BitMasks(torch.ones(count, *size, dtype=torch.bool))
    targets = Targets.from_instances(batch, torch.device("cpu"), with_masks=True)
    assert targets.masks is not None
    held = sum(masks.untyped_storage().nbytes() for masks in targets.masks)
    assert held == 40 * 30 * 40 + 50 * 20 + 2 * 20 * 50


def test_masks_of_another_size_than_their_image_are_a_mappers_fault() -> None:
    image = instances((3, 4), [[0.0, 0.0, 1.0, 1.0]], [1])
    image.gt_masks = BitMasks(torch.ones(1, 2, 4, dtype=torch.bool))
    with pytest.raises(AssertionError, match="2, 4"):
        Targets.from_instances([image], torch.device("cpu"), with_masks=True)


def test_objects_that_a_model_cannot_learn_from_are_reported_with_the_image() -> None:
    batch = [{"file_name": "a.png", "instances": instances((3, 4), [[0.0, 0.0, 1.0, 1.0]], [4])}]
    images = ImageList.from_tensors([torch.zeros(3, 3, 4)])
    with pytest.raises(ValueError, match=r"a.png .* class 4, .*0 to 3: set MODEL.DETR.NUM_CLASSES"):
        Targets.of_batch(batch, images, num_classes=4)
    with pytest.raises(ValueError, match=r"a.png has objects without masks: .*MODEL.MASK_ON False"):
        Targets.of_batch(batch, images, num_classes=5, with_masks=True)
    batch[0]["instances"].gt_masks = PolygonMasks([[[0.0, 0.0, 2.0, 0.0, 2.0, 2.0]]])
    with pytest.raises(ValueError, match="a.png has masks as PolygonMasks: set INPUT.MASK_FORMAT"):
        Targets.of_batch(batch, images, num_classes=5, with_masks=True)
    assert Targets.of_batch(batch, images, num_classes=5).counts == (1,)

import torch

from detr_d2.modeling import Matches, Targets
from detr_d2.modeling.metrics import detection_metrics

from .recipe import CROSS_ENTROPY


def one_hot(classes: list[list[int]]) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(classes), 4).float()


def test_hand_worked_errors_of_classes_and_counts() -> None:
    # Image 0 finds 2 of 1 objects, image 1 finds 1 of 2; class 3 is no-object.
    logits = one_hot([[0, 2, 3], [3, 1, 3]])
    targets = Targets(torch.tensor([[0, 0], [1, 2]]), torch.zeros(2, 2, 4), counts=(1, 2))
    matches = Matches(
        image=torch.tensor([0, 1, 1]), query=torch.tensor([[0, 1, 2]]), target=torch.tensor([[0, 0, 1]])
    )
    metrics = detection_metrics(logits, targets, matches, CROSS_ENTROPY)
    torch.testing.assert_close(metrics["class_error"], torch.tensor(100 / 3))
    torch.testing.assert_close(metrics["cardinality_error"], torch.tensor(1.0))


def test_a_batch_without_objects_has_every_class_wrong() -> None:
    nothing = Matches(torch.zeros(0).long(), torch.zeros(1, 0).long(), torch.zeros(1, 0).long())
    targets = Targets(torch.zeros(1, 0).long(), torch.zeros(1, 0, 4), counts=(0,))
    metrics = detection_metrics(one_hot([[3, 3]]), targets, nothing, CROSS_ENTROPY)
    assert metrics["class_error"] == 100
    assert metrics["cardinality_error"] == 0

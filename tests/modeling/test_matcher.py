import itertools

import pytest
import torch

from detr_d2.modeling import HungarianMatcher, Matches, Prediction, Targets
from detr_d2.modeling.auxiliary.encoder import match_centers

from .oracles import least_cost, pair_cost, random_predictions, random_targets
from .recipe import ABSOLUTE, CROSS_ENTROPY
from .steps import match

WEIGHTS = (1.0, 5.0, 2.0)


def pairs_of(matches: Matches, layer: int, image: int) -> list[tuple[int, int]]:
    here = matches.image == image
    return list(zip(matches.query[layer, here].tolist(), matches.target[layer, here].tolist(), strict=True))


def cost_matrix(logits: torch.Tensor, boxes: torch.Tensor, targets: Targets, image: int) -> list[list[float]]:
    return [
        [
            pair_cost(logits[q], boxes[q], int(targets.labels[image, t]), targets.boxes[image, t], WEIGHTS)
            for t in range(targets.counts[image])
        ]
        for q in range(len(logits))
    ]


def test_cost_is_the_weighted_sum_of_its_three_terms() -> None:
    logits, boxes = random_predictions(layers=2, batch=3, queries=4, classes=5)
    targets = random_targets((2, 0, 3), classes=5)
    cost = HungarianMatcher(*WEIGHTS, CROSS_ENTROPY, ABSOLUTE).cost(Prediction(logits, boxes), targets)
    for layer in range(2):
        for image in range(3):
            expected = cost_matrix(logits[layer, image], boxes[layer, image], targets, image)
            actual = cost[layer, image, :, : targets.counts[image]]
            torch.testing.assert_close(actual, torch.tensor(expected).view_as(actual), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_matches_have_the_least_total_cost_of_all_assignments(seed: int) -> None:
    torch.manual_seed(seed)
    counts = (3, 0, 1, 6)  # more objects than queries in the last image
    logits, boxes = random_predictions(layers=3, batch=4, queries=4, classes=5)
    targets = random_targets(counts, classes=5)
    matches = match(HungarianMatcher(*WEIGHTS, CROSS_ENTROPY, ABSOLUTE), logits, boxes, targets)
    for layer in range(3):
        for image, count in enumerate(counts):
            pairs = pairs_of(matches, layer, image)
            queries, objects = [q for q, _ in pairs], [t for _, t in pairs]
            assert len(pairs) == min(4, count)
            assert len(set(queries)) == len(set(objects)) == len(pairs), "not one to one"
            cost = cost_matrix(logits[layer, image], boxes[layer, image], targets, image)
            total = sum(cost[q][t] for q, t in pairs)
            assert total == pytest.approx(least_cost(cost), abs=1e-5)


def test_a_hand_made_case_matches_each_object_with_the_query_on_it() -> None:
    boxes = torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.5, 0.5, 0.3, 0.3], [0.8, 0.8, 0.2, 0.2]])
    targets = Targets(torch.tensor([[0, 1]]), boxes[[2, 0]][None], counts=(2,))
    matches = match(
        HungarianMatcher(*WEIGHTS, CROSS_ENTROPY, ABSOLUTE),
        torch.zeros(1, 1, 3, 3),
        boxes[None, None],
        targets,
    )
    assert pairs_of(matches, 0, 0) == [(0, 1), (2, 0)]


def test_a_batch_without_any_object_matches_nothing() -> None:
    logits, boxes = random_predictions(layers=2, batch=2, queries=3, classes=2)
    matches = match(
        HungarianMatcher(*WEIGHTS, CROSS_ENTROPY, ABSOLUTE),
        logits,
        boxes,
        Targets(torch.zeros(2, 0).long(), torch.zeros(2, 0, 4), (0, 0)),
    )
    assert matches.image.shape == (0,)
    assert matches.query.shape == matches.target.shape == (2, 0)
    assert matches.query.dtype == torch.int64


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("query", range(6))
def test_a_prediction_that_is_not_finite_is_matched_so_that_the_loss_sees_it(
    value: float, query: int
) -> None:
    logits, boxes = random_predictions(layers=2, batch=3, queries=6, classes=2)
    targets = random_targets((1, 1, 2), 2)
    sound = match(HungarianMatcher(*WEIGHTS, CROSS_ENTROPY, ABSOLUTE), logits, boxes, targets)
    boxes[1, 2, query, 0] = value
    matches = match(HungarianMatcher(*WEIGHTS, CROSS_ENTROPY, ABSOLUTE), logits, boxes, targets)
    assert (sound.broken, matches.broken) == ((), (2,))
    assert query in [q for q, _ in pairs_of(matches, 1, 2)]
    for layer, image in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        assert pairs_of(matches, layer, image) == pairs_of(sound, layer, image)


def test_all_weights_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="MODEL.DETR.COST"):
        HungarianMatcher(0, 0, 0, CROSS_ENTROPY, ABSOLUTE)


def test_matching_is_the_same_in_half_precision_inputs_as_in_their_float32_values() -> None:
    logits, boxes = (x.bfloat16() for x in random_predictions(1, 2, 6, 4))
    targets = random_targets((4, 3), 4)
    low, full = (
        match(HungarianMatcher(*WEIGHTS, CROSS_ENTROPY, ABSOLUTE), x, y, targets)
        for x, y in ((logits, boxes), (logits.float(), boxes.float()))
    )
    assert torch.equal(low.query, full.query)
    assert torch.equal(low.target, full.target)


def test_centers_are_matched_with_the_cell_that_they_lie_in() -> None:
    padding = torch.zeros(2, 4, 6, dtype=torch.bool)
    padding[1, 2:] = True  # image 1 has 2 x 3 cells
    padding[1, :, 3:] = True
    boxes = torch.tensor(
        [
            [[0.5, 0.3, 0.1, 0.1], [1.0, 1.0, 0.2, 0.2]],  # x 3.0, y 1.2; the corner counts as the last cell
            [[0.7, 0.9, 0.1, 0.1], [0.0, 0.0, 0.0, 0.0]],  # x 2.1, y 1.8
        ]
    )
    matches = match_centers(Targets(torch.zeros(2, 2).long(), boxes, counts=(2, 1)), padding)
    assert matches.image.tolist() == [0, 0, 1]
    assert matches.query.tolist() == [[1 * 6 + 3, 3 * 6 + 5, 1 * 6 + 2]]
    assert matches.target.tolist() == [[0, 1, 0]]


def test_a_batch_without_objects_has_no_centers() -> None:
    nothing = Targets(torch.zeros(2, 0).long(), torch.zeros(2, 0, 4), (0, 0))
    matches = match_centers(nothing, torch.zeros(1, 4, 4, dtype=torch.bool))
    assert matches.image.shape == (0,)
    assert matches.query.shape == matches.target.shape == (1, 0)


def test_the_smallest_of_the_objects_in_a_cell_has_it_in_any_order() -> None:
    centers = [[0.1, 0.1], [0.2, 0.2], [0.9, 0.9], [0.15, 0.1], [0.6, 0.6]]  # 2 x 2 cells
    sizes = [[0.4, 0.4], [0.1, 0.1], [0.2, 0.3], [0.3, 0.1], [0.3, 0.3]]
    padding = torch.zeros(1, 2, 2, dtype=torch.bool)
    boxes = torch.cat([torch.tensor(centers), torch.tensor(sizes)], dim=1)
    for order in itertools.permutations(range(5)):
        targets = Targets(torch.zeros(1, 5).long(), boxes[list(order)][None], (5,))
        matches = match_centers(targets, padding)
        claims = {int(q): order[t] for q, t in zip(matches.query[0], matches.target[0], strict=True)}
        assert claims == {0: 1, 3: 2}
        assert len(matches.image) == 2


def test_of_equal_objects_in_a_cell_the_first_has_it_and_other_images_have_their_own() -> None:
    boxes = torch.tensor([0.5, 0.5, 0.2, 0.2]).expand(2, 3, 4)
    matches = match_centers(Targets(torch.zeros(2, 3).long(), boxes, (3, 2)), torch.zeros(1, 3, 3).bool())
    assert matches.image.tolist() == [0, 1]
    assert matches.query.tolist() == [[4, 4]]
    assert matches.target.tolist() == [[0, 0]]

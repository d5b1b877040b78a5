"""Objects followed from frame to frame."""

from __future__ import annotations

import sys

import pytest
import torch
from detectron2.structures import Boxes, Instances

from detr_d2.errors import UserError
from detr_d2.predict.tracks import NO_TRACK, Tracks

pytest.importorskip("trackers")


def frame(*objects: tuple[float, float, int, float]) -> Instances:
    """(x, y) of boxes of 20 x 20 pixels, class, score."""
    instances = Instances((200, 200))
    boxes = torch.tensor([(x, y, x + 20, y + 20) for x, y, _, _ in objects]).reshape(-1, 4)
    instances.pred_boxes = Boxes(boxes)
    instances.pred_classes = torch.tensor([kind for _, _, kind, _ in objects], dtype=torch.int64)
    instances.scores = torch.tensor([score for *_, score in objects])
    return instances


def ids_by_class(instances: Instances) -> dict[int, int]:
    return dict(zip(instances.pred_classes.tolist(), instances.track_ids.tolist(), strict=True))


def test_two_objects_keep_their_ids_whatever_their_order() -> None:
    tracks = Tracks(10, 0.5)
    seen = []
    for time in range(12):
        objects = [(10.0 + 6 * time, 20.0, 0, 0.9), (150.0 - 6 * time, 120.0, 1, 0.8)]
        seen.append(ids_by_class(tracks(frame(*objects[:: 1 if time % 2 else -1]))))
    assert set(seen[0].values()) == {NO_TRACK}
    first = seen[1]
    assert len(set(first.values()) - {NO_TRACK}) == 2
    assert all(ids == first for ids in seen[1:])


def test_an_object_that_covers_one_of_another_class_does_not_take_its_id() -> None:
    """The one below is not seen for three frames, in which the other is just there."""
    tracks = Tracks(10, 0.5)
    for time in range(9):
        above, below = (20.0 + 10 * time, 50.0, 1, 0.9), (60.0, 50.0, 0, 0.9)
        seen = ids_by_class(tracks(frame(above) if 3 <= time <= 5 else frame(above, below)))
        if time == 1:
            first = seen
        if time > 1:
            assert seen == {kind: first[kind] for kind in seen}
    assert first.keys() == seen.keys() == {0, 1}


def test_a_less_sure_object_continues_a_track_and_starts_none() -> None:
    tracks = Tracks(10, 0.5)
    for _ in range(2):
        known = tracks(frame((50, 50, 0, 0.9)))
    now = tracks(frame((52, 50, 0, 0.2), (120, 120, 1, 0.2)))
    assert ids_by_class(now) == {0: int(known.track_ids[0])}
    assert len(tracks(frame((54, 50, 0, 0.05)))) == 0


def test_an_object_that_is_away_for_less_than_a_second_has_its_id_again_and_after_it_another() -> None:
    for away, same in ((5, True), (15, False)):
        tracks = Tracks(10, 0.5)
        for _ in range(3):
            before = tracks(frame((50, 50, 0, 0.9)))
        for _ in range(away):
            assert len(tracks(frame())) == 0
        for _ in range(2):
            after = tracks(frame((50, 50, 0, 0.9)))
        assert (int(after.track_ids[0]) == int(before.track_ids[0])) is same


def test_fields_stay_with_their_objects() -> None:
    tracks = Tracks(10, 0.5)
    for _ in range(2):
        given = frame((10, 10, 0, 0.3), (60, 60, 1, 0.9), (110, 110, 2, 0.7))
        given.pred_masks = torch.arange(3)[:, None, None].expand(3, 200, 200)
        got = tracks(given)
    assert got.pred_classes.tolist() == [1, 2]
    assert got.pred_masks[:, 0, 0].tolist() == [1, 2]


def test_nothing_at_all_is_nothing() -> None:
    assert len(Tracks(10, 0.5)(frame())) == 0


@pytest.mark.parametrize("missing", ["trackers", "supervision"])
def test_without_a_package_it_is_said_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=f"pip install.*{missing}.*track"):
        Tracks(10, 0.5)

"""What is drawn: exact, disjoint segments, as hard as the design says, and nothing twice."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from detr_d2.shapes.drawing import (
    STUFF_CLASSES,
    THING_CLASSES,
    Segment,
    ShapesConfig,
    _outline,
    _place_things,
    _visible_segments,
    draw,
)


@pytest.fixture(scope="module")
def drawn() -> list[tuple[np.ndarray, list[Segment]]]:
    return [draw(ShapesConfig(), "train", index) for index in range(300)]


def things_of(segments: list[Segment]) -> list[Segment]:
    return [segment for segment in segments if segment.class_name in THING_CLASSES]


def test_every_pixel_belongs_to_exactly_one_segment(drawn):
    for image, segments in drawn:
        assert image.shape == (128, 128, 3)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(np.sum([segment.mask for segment in segments], axis=0), 1)
        assert all(segment.mask.any() for segment in segments)


def test_images_have_one_to_five_things_and_two_or_three_stuff_classes_once_each(drawn):
    numbers = {len(things_of(segments)) for _, segments in drawn}
    assert numbers == {1, 2, 3, 4, 5}
    stuff = [[s.class_name for s in segments if s.class_name in STUFF_CLASSES] for _, segments in drawn]
    assert all(len(names) == len(set(names)) for names in stuff)
    assert {len(names) for names in stuff} >= {2, 3}
    assert max(len(names) for names in stuff) == 3


def test_all_classes_are_about_equally_common(drawn):
    names = [segment.class_name for _, segments in drawn for segment in segments]
    for classes in (THING_CLASSES, STUFF_CLASSES):
        counts = [names.count(name) for name in classes]
        assert max(counts) < 1.3 * min(counts)


def test_things_overlap_and_touch_the_border(drawn):
    border = np.ones((128, 128), dtype=bool)
    border[1:-1, 1:-1] = False
    things = [thing for _, segments in drawn for thing in things_of(segments)]
    touching = np.mean([(thing.mask & border).any() for thing in things])
    assert 0.1 < touching < 0.7
    # A whole circle fills pi / 4 of its box; one that is covered or cut fills less, or lies at the border.
    fill = [box_fill(thing.mask) for thing in things if thing.class_name == "circle"]
    inside = [
        box_fill(thing.mask)
        for thing in things
        if thing.class_name == "circle" and not (thing.mask & border).any()
    ]
    assert np.median(inside) == pytest.approx(math.pi / 4, abs=0.05)
    assert min(fill) < 0.6


def box_fill(mask: np.ndarray) -> float:
    y, x = np.nonzero(mask)
    return len(x) / ((np.ptp(x) + 1) * (np.ptp(y) + 1))


def test_sizes_of_whole_things_follow_the_half_widths():
    config = ShapesConfig(min_half_width=10, max_half_width=10, max_things=1, height=256, width=256)
    areas: dict[str, list[int]] = {name: [] for name in THING_CLASSES}
    for index in range(60):
        thing = things_of(draw(config, "val", index)[1])[0]
        if not (thing.mask[[0, -1]].any() or thing.mask[:, [0, -1]].any()):
            areas[thing.class_name].append(int(thing.mask.sum()))
    # pi r^2, (2 r)^2, and an equilateral triangle of side 2 r: sqrt(3) r^2.
    for name, expected in (("circle", math.pi * 100), ("square", 400.0), ("triangle", math.sqrt(3) * 100)):
        assert len(areas[name]) > 5
        np.testing.assert_allclose(areas[name], expected, rtol=0.08)


def test_outlines_hold_the_pixels_that_geometry_says():
    """Against the sign of the corner's angle sum: a point is inside if it sees the corners turn by 2 pi."""
    for name, corners, reach in (("square", 4, math.sqrt(2)), ("triangle", 3, 2 / math.sqrt(3))):
        angle, radius, center = 0.4, 9.0, (20.3, 17.8)
        mask = _outline(name, radius, angle, center, 0, 40, 40)
        # The corners lie halfway between the directions of the sides.
        turns = angle + 2 * np.pi * (np.arange(corners) + 0.5) / corners
        points = np.stack([np.cos(turns), np.sin(turns)], 1) * reach * radius + center
        for y in range(40):
            for x in range(40):
                dx, dy = (points - (x, y)).T
                directions = np.arctan2(dy, dx)
                steps = np.diff(np.append(directions, directions[0]))
                winding = np.sum((steps + np.pi) % (2 * np.pi) - np.pi)
                assert mask[y, x] == (abs(winding) > np.pi), (name, x, y)


def test_the_least_visible_thing_is_left_out_first_and_uncovers_others():
    """Three strips of 10 pixels, drawn one after the other, each moved by some pixels over the one before."""
    from detr_d2.shapes.drawing import _Outline

    def strip(start: int) -> _Outline:
        mask = np.zeros((1, 40), dtype=bool)
        mask[0, start : start + 10] = True
        return _Outline("square", False, mask, 10)

    # Back: 4 pixels seen. Middle: 1. Front: all. Without the middle one, the back one shows 5.
    segments = _visible_segments([strip(0), strip(4), strip(5)])
    assert [segment.mask.sum() for segment in segments] == [5, 10]
    # 3 of 10 pixels are less than a third, 4 of 10 are more.
    assert len(_visible_segments([strip(0), strip(3)])) == 1
    assert len(_visible_segments([strip(0), strip(4)])) == 2
    # What lies outside the image counts as not seen.
    outside = _Outline("square", False, strip(0).mask, 31)
    assert _visible_segments([outside]) == []


@pytest.mark.parametrize("crowd", [False, True])
def test_what_remains_of_random_placements_is_at_least_a_third_visible(crowd):
    config = ShapesConfig(crowd=crowd)
    left_out = 0
    for seed in range(200):
        outlines = _place_things(np.random.default_rng(seed), config)
        segments = _visible_segments(outlines)
        left_out += len(outlines) - len(segments)
        covered = np.zeros((128, 128), dtype=bool)
        remaining = list(outlines)
        for segment in reversed(segments):
            # Its outline: the last one left of that class that contains it and explains it exactly.
            outline = next(
                o
                for o in reversed(remaining)
                if o.class_name == segment.class_name and np.array_equal(o.mask & ~covered, segment.mask)
            )
            remaining = remaining[: [o is outline for o in remaining].index(True)]
            covered |= outline.mask
            assert 3 * segment.mask.sum() >= outline.full_area
    assert left_out > 20


def test_an_image_depends_on_seed_split_and_index_alone():
    again, _ = draw(ShapesConfig(), "train", 5)
    first, _ = draw(ShapesConfig(), "train", 5)
    np.testing.assert_array_equal(first, again)
    for other in (
        draw(ShapesConfig(), "val", 5)[0],
        draw(ShapesConfig(), "train", 6)[0],
        draw(ShapesConfig(seed=1), "train", 5)[0],
    ):
        assert not np.array_equal(first, other)


def test_no_image_is_drawn_twice(drawn):
    val = [draw(ShapesConfig(), "val", index)[0] for index in range(100)]
    images = [image for image, _ in drawn] + val
    assert len({hashlib.sha256(image.tobytes()).digest() for image in images}) == len(images)


def test_noise_is_everywhere(drawn):
    for image, _ in drawn[:50]:
        values = image.astype(np.float64).mean(2)
        tiles = (values[:, 1:] - values[:, :-1])[:, :124].reshape(16, 8, 31, 4).std(axis=(1, 3))
        assert tiles.min() > 1


def accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    """Share of the second half that a quadratic least-squares classifier, fitted to the first half, gets."""
    features = (features - features.mean(0)) / features.std(0)
    pairs = [features[:, i] * features[:, j] for i in range(features.shape[1]) for j in range(i + 1)]
    design = np.column_stack([np.ones(len(features)), features, *pairs])
    half = len(labels) // 2
    weights = np.linalg.lstsq(design[:half], np.eye(3)[labels[:half]], rcond=None)[0]
    return float(np.mean((design[half:] @ weights).argmax(1) == labels[half:]))


@pytest.mark.parametrize("classes", [THING_CLASSES, STUFF_CLASSES], ids=["things", "stuff"])
def test_class_cannot_be_guessed_from_color_or_place_but_from_form(drawn, classes):
    color_and_place, form, labels = [], [], []
    for image, segments in drawn:
        across = np.abs(np.diff(image.astype(np.float64).mean(2), axis=1, prepend=0))
        down = np.abs(np.diff(image.astype(np.float64).mean(2), axis=0, prepend=0))
        for segment in segments:
            if segment.class_name in classes:
                y, x = np.nonzero(segment.mask)
                pixels = image[segment.mask]
                color_and_place.append([*pixels.mean(0), pixels.mean(1).std(), x.mean(), y.mean()])
                if classes is STUFF_CLASSES:
                    form.append([np.log(across[segment.mask].mean()), np.log(down[segment.mask].mean())])
                else:
                    form.append([box_fill(segment.mask), np.log(len(x))])
                labels.append(classes.index(segment.class_name))
    if classes is STUFF_CLASSES:
        # The spread of brightness is texture, which does tell: keep color and place.
        color_and_place = [row[:3] + row[4:] for row in color_and_place]
    assert accuracy(np.array(color_and_place), np.array(labels)) < 0.45
    # The statistic is able to see a class where there is something to see.
    assert accuracy(np.array(form), np.array(labels)) > 0.5


def test_crowds_are_clusters_of_small_things_in_about_half_of_the_images():
    crowds = [
        [segment for segment in draw(ShapesConfig(crowd=True), "val", index)[1] if segment.iscrowd]
        for index in range(80)
    ]
    assert {len(found) for found in crowds} == {0, 1}
    assert 20 < sum(map(len, crowds)) < 60
    assert all(not s.iscrowd for index in range(30) for s in draw(ShapesConfig(), "val", index)[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 8}, "16 x 16"),
        ({"min_half_width": 30.0}, "half-widths"),
        ({"max_half_width": 70.0}, "half-widths"),
        ({"max_things": 0}, "max_things"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        ShapesConfig(**arguments)


def test_image_size_is_an_argument():
    image, segments = draw(ShapesConfig(height=64, width=96, max_half_width=16), "train", 0)
    assert image.shape == (64, 96, 3)
    assert all(segment.mask.shape == (64, 96) for segment in segments)

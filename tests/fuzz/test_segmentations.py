"""A tenth of the random segmentations; ``python -m tests.fuzz.segmentations`` runs all."""

from .segmentations import CASES, run_limited


def test_random_segmentations_are_drawn_or_refused_in_little_memory():
    printed = run_limited(first=0, count=CASES // 10)
    assert all(outcome in printed for outcome in ("refused", " pixels", "pycocotools' pixels"))

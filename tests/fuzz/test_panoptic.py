"""A tenth of the mutated panoptic data sets, and all variants that must load."""

from __future__ import annotations

import pytest

from .panoptic import REFUSED, SETS, WORKS, mutated, outcome
from .panoptic_variants import VARIANTS


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_valid_variant_works(variant):
    end, text = outcome(VARIANTS[variant], seed=1, number=0)
    assert end == WORKS, text


def test_mutated_data_sets_work_or_end_in_an_error_that_names_a_file():
    results = [mutated(seed=0, number=number) for number in range(SETS // 10)]
    wrong = [(number, *result) for number, result in enumerate(results) if result[1] not in (WORKS, REFUSED)]
    assert not wrong, wrong[0]
    ends = [end for _, end, _ in results]
    assert ends.count(WORKS) >= 5
    assert ends.count(REFUSED) >= 20

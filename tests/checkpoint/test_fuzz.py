"""A tenth of the damaged checkpoints that ``python -m tests.fuzz.checkpoints`` tries."""

from __future__ import annotations

import pytest

from ..fuzz.checkpoints import CASES, KINDS, run


@pytest.mark.filterwarnings("ignore")
def test_damaged_checkpoints_are_loaded_or_refused_by_name_and_nothing_is_half_loaded() -> None:
    outcomes = run(case for case in range(CASES) if case // len(KINDS) % 10 == 0)
    assert outcomes.keys() <= {"loaded", "refused"}
    assert outcomes["refused"] > 10

"""A tenth of the mutations of ``python -m tests.fuzz.instances``."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import instances

TENTH = range(0, instances.NUMBER, 10)
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_a_mutated_data_set_works_or_is_refused_by_name(part: int, tmp_path: Path) -> None:
    before = instances.peak_memory()
    outcomes, violations = instances.run(TENTH[part::PARTS], tmp_path)
    assert violations == []
    assert outcomes["works"] > 0.2 * outcomes.total()
    assert outcomes["refused"] > 0.2 * outcomes.total()
    assert instances.peak_memory() - before < instances.MEMORY_LIMIT


def test_what_should_not_happen_is_a_violation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*args: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(instances, "DetrDatasetMapper", crash)
    outcomes, violations = instances.run(range(10), tmp_path)
    assert outcomes["violation"] == len(violations) > 0
    assert "TypeError" in violations[0]

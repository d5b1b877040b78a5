"""A tenth of the images of ``python -m tests.fuzz.images``."""

from __future__ import annotations

import numpy as np
import pytest

from detr_d2.errors import DataError

from . import images

# Not a multiple of the number of kinds, so that all of them come up.
TENTH = range(0, images.NUMBER, 11)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", TENTH)
def test_an_image_is_read_or_refused_by_name(number, tmp_path):
    before = images.peak_memory()
    images.try_case(images.make_case(number, tmp_path))
    assert images.peak_memory() - before < images.MEMORY_LIMIT


def test_every_kind_comes_up_and_the_same_seed_makes_the_same_files(tmp_path):
    cases = [images.make_case(number, tmp_path) for number in TENTH]
    assert {case.kind for case in cases} == set(images.KINDS)
    content = cases[3].file.read_bytes()
    assert images.make_case(TENTH[3], tmp_path).file.read_bytes() == content


def test_the_command_fails_for_what_should_not_happen(monkeypatch, capsys):
    assert images.main(["--number", "8"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["sound", "1", "0", "0"]
    monkeypatch.setattr(images, "read_image", lambda *args: np.zeros((1, 1, 3), np.uint8))
    assert images.main(["--number", "8"]) == 1

    def refuse(*args):
        raise DataError("no file is named")

    monkeypatch.setattr(images, "image_header", refuse)
    assert images.main(["--number", "8"]) == 1

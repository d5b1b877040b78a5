"""The tutorial, with a training too short to learn anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from docs.tutorial import main


@pytest.mark.usefixtures("catalog")
def test_it_ends_with_a_model_its_precision_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("detectron2", "detr_d2"):
        caplog.set_level("INFO", logger=name)  # so that the trainer adds no handlers of its own
    main(["--output", str(tmp_path), "--iterations", "2", "--images", "20"])
    assert (tmp_path / "model_final.pth").is_file()
    assert max(Image.open(tmp_path / "found.png").size) == 640
    assert capsys.readouterr().out.splitlines()[-1].startswith("AP ")

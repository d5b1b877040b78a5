"""``detr-d2 complexity``."""

from __future__ import annotations

from pathlib import Path

import pytest
from detectron2.config import CfgNode

from detr_d2.modeling.complexity import model_complexity
from detr_d2.tools.model_complexity import main

IMAGE = (64, 96)


def test_the_command_prints_what_it_counted(
    tiny_config: CfgNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(tiny_config.dump())
    assert main(["--config-file", str(file), "--size", "64", "96"]) == 0
    smaller = capsys.readouterr().out
    complexity = model_complexity(tiny_config, IMAGE)
    assert "64 x 96" in smaller
    assert f"({complexity.parameters})" in smaller
    assert f"({complexity.multiply_adds})" in smaller
    assert main(["--config-file", str(file), "MODEL.DETR.ENC_LAYERS", "0"]) == 0
    larger = capsys.readouterr().out
    assert "800 x 1066" in larger
    assert f"({complexity.parameters})" not in larger


def test_what_cannot_be_used_is_told_in_a_line(
    tiny_config: CfgNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config-file", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err == "error: --config-file nowhere.yaml does not exist\n"
    file = tmp_path / "tiny.yaml"
    file.write_text(tiny_config.dump())
    assert main(["--config-file", str(file), "MODEL.DETR.NHEADS", "5"]) == 2
    assert "MODEL.DETR.HIDDEN_DIM is 32" in capsys.readouterr().err
    assert main(["--config-file", str(file), "--size", "0", "96"]) == 2
    assert "'0' is not a whole number of at least 32 pixels" in capsys.readouterr().err

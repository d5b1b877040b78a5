"""The model zoo's page and its data file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detr_d2 import model_zoo
from detr_d2.tools.model_complexity import model_complexity
from detr_d2.tools.model_zoo_table import COMMAND, main, measure

PAGE = Path(__file__).parents[2] / "MODEL_ZOO.md"


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(PAGE)]) == 0, capsys.readouterr().err


def test_write_repairs_what_check_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "zoo.md"
    file.write_text(PAGE.read_text().replace("42.0", "43.0"))
    assert main(["--check", str(file)]) == 2
    assert f"--write {file}" in capsys.readouterr().err
    assert main(["--write", str(file)]) == 0
    assert main(["--check", str(file)]) == 0
    assert file.read_text() == PAGE.read_text()
    assert main([]) == 0
    assert capsys.readouterr().out == PAGE.read_text()
    assert main(["--check", str(tmp_path / "nowhere.md")]) == 2


def test_published_and_measured_figures_are_in_separate_tables() -> None:
    _, published, measured = PAGE.read_text().split("\n## ")
    assert published.startswith("Published by the authors\n")
    assert measured.startswith("Measured here\n")
    for model in model_zoo.zoo_models():
        link = f"| [{model.config}](configs/{model.config}) | "
        (row,) = (line for line in published.splitlines() if line.startswith(link))
        epochs = "500 + 25" if "PQ" in model.published else "500"
        cells = [model.backbone, epochs, *(f"{figure:.1f}" for figure in model.published.values())]
        assert row == f"{link}{' | '.join(cells)} | [`detr://{model.name}`]({model.file.url}) |"
        (row,) = (line for line in measured.splitlines() if line.startswith(link))
        million, billion = model.measured["parameters"] / 1e6, model.measured["multiply_adds"] / 1e9
        assert row == f"{link}{million:.2f} M | {billion:.1f} G |"
    assert "AP" not in measured
    assert "Multiply-adds" not in published


def test_the_data_file_names_the_command_that_measured() -> None:
    assert model_zoo.index.measuring_command() == COMMAND
    assert COMMAND in PAGE.read_text()


def test_measuring_replaces_only_what_was_measured(tmp_path: Path) -> None:
    file, config = tmp_path / "zoo.json", "Shapes-Detection/detr_tiny.yaml"
    entry = {"config": config, "published": {"box AP": 1.5}}
    file.write_text(json.dumps({"models": [{**entry, "measured": {"parameters": 1, "multiply_adds": 1}}]}))
    measure(file)
    measured = vars(model_complexity(model_zoo.get_config(config)))
    expected = {"measured_with": COMMAND, "models": [{**entry, "measured": measured}]}
    assert json.loads(file.read_text()) == expected

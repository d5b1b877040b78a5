"""The tables of the model zoo's page, and its data file."""

from __future__ import annotations

import json
from pathlib import Path

from detr_d2 import model_zoo
from detr_d2.checkpoint.zoo import INDEX_FILE
from detr_d2.modeling.complexity import model_complexity
from docs.generate.model_zoo import COMMAND, measure

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "zoo.md"


def test_published_and_measured_figures_are_in_separate_tables() -> None:
    _, published, measured = PAGE.read_text().split("\n## ")[1].split("\n### ")
    assert published.startswith("As published\n")
    assert measured.startswith("Measured here\n")
    for model in model_zoo.zoo_models():
        end = f"| [`detr://{model.name}`]({model.file.url}) |"
        (row,) = (line for line in published.splitlines() if line.endswith(end))
        epochs = "500 + 25" if "PQ" in model.published else str(model.epochs)
        cells = [f"`{model.config}`", model.backbone, epochs]
        cells += [f"{figure:.1f}" for figure in model.published.values()]
        cells += [model.by or "DETR's authors", f"`{model.file.sha256}…`" if model.file.sha256 else "none"]
        assert row == f"| {' | '.join(cells)} {end}"
        link = f"| `{model.config}` | "
        (row,) = (line for line in measured.splitlines() if line.startswith(link))
        million, billion = model.measured["parameters"] / 1e6, model.measured["multiply_adds"] / 1e9
        assert row == f"{link}{million:.2f} M | {billion:.1f} G |"
    assert "AP" not in measured
    assert "Multiply-adds" not in published


def test_the_readme_has_a_line_for_each_model() -> None:
    text = (ROOT / "README.md").read_text()
    for model in model_zoo.zoo_models():
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `detr://{model.name}` | "))
        figures = [cell.strip() for cell in row.split("|")[2:-1] if cell.strip()]
        assert figures == [f"{figure:.1f}" for figure in model.published.values()]
    assert "published by DETR's authors" in text


def test_the_data_file_names_the_command_that_measured() -> None:
    assert json.loads(INDEX_FILE.read_text("utf-8"))["measured_with"] == COMMAND
    assert COMMAND in PAGE.read_text()


def test_measuring_replaces_only_what_was_measured(tmp_path: Path) -> None:
    file, config = tmp_path / "zoo.json", "Shapes-Detection/detr_tiny.yaml"
    entry = {"config": config, "published": {"box AP": 1.5}}
    file.write_text(json.dumps({"models": [{**entry, "measured": {"parameters": 1, "multiply_adds": 1}}]}))
    measure(file)
    measured = vars(model_complexity(model_zoo.get_config(config)))
    expected = {"measured_with": COMMAND, "models": [{**entry, "measured": measured}]}
    assert json.loads(file.read_text()) == expected

"""The command ``detr-d2 zoo``."""

from pathlib import Path

import pytest

from detr_d2.model_zoo import get_config_file, zoo_models
from detr_d2.tools.zoo import main


def test_every_published_model_has_a_row_with_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    for model in zoo_models():
        row = rows[f"detr://{model.name}"].split()
        assert row[1] == model.config
        assert [float(word) for word in row[2:-1]] == list(model.published.values())
        assert row[-1] == model.file.url
    assert len(rows) == len(zoo_models()) + 2


@pytest.mark.parametrize("name", ["detr_R_101", "detr://detr_R_101", "COCO-Detection/detr_R_101.yaml"])
def test_a_model_is_shown_by_name_address_or_config(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (model,) = (model for model in zoo_models() if model.name == "detr_R_101")
    assert main([name]) == 0
    text = capsys.readouterr().out
    for fact in (model.config, model.file.url, model.file.sha256, "60.46 M", "43.5", "detr://detr_R_101"):
        assert fact in text


@pytest.mark.parametrize("name", ["dn_detr_R_50_50ep", "dab_detr_R_50_50ep_authors"])
def test_of_a_file_without_a_published_hash_the_pinned_one_is_shown(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    (model,) = (model for model in zoo_models() if model.name == name)
    assert main([name]) == 0
    text = capsys.readouterr().out
    assert f"weights        detr://{name}\n" in text
    assert "not published" in text
    assert model.by in text
    model.file.pin().parent.mkdir(parents=True)
    model.file.pin().write_text("ab" * 32 + "  x.pth\n")
    assert main([name]) == 0
    assert "ab" * 32 in capsys.readouterr().out


def test_a_config_of_two_models_shows_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["COCO-Detection/dab_detr_R_50_50ep.yaml"]) == 0
    assert "detr://dab_detr_R_50_50ep\n" in capsys.readouterr().out


def test_an_unknown_model_is_one_line_that_names_like_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detr_R_102"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "detr_R_10" in error


def test_every_listed_config_is_one_of_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--configs"]) == 0
    names = capsys.readouterr().out.split()
    assert "Base-DETR.yaml" in names
    assert "Shapes-Detection/detr_tiny.yaml" in names
    for name in names:
        get_config_file(name)

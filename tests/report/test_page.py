"""The page of a report: whole, small, harmless, and with the numbers of the evaluation."""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_util

from detr_d2.report import write_facts, write_report
from detr_d2.report.blocks import Album
from detr_d2.report.boxes import read_found
from detr_d2.report.examples import worst_images
from detr_d2.tools.report import main

from ..evaluation.error_cases import HAND_AP, HAND_COSTS
from .conftest import NAMES, Output

SECTIONS = ["Curves", "Average precision of boxes", "Errors by kind", "Confusions", "Calibration",
            "Worst images of each kind", "Seed, versions and config"]  # fmt: skip


class Page(HTMLParser):
    """Tags with their attributes, and the texts of headings and of the cells of each table row."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag in ("h2", "h3"):
            self.headings.append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("h2", "h3"):
            self.headings[-1] += data
        if self._inside in ("td", "th"):
            self.rows[-1][-1] += data

    def row(self, name: str, columns: int) -> list[str]:
        """The first row of a name and a number of columns."""
        return next(row for row in self.rows if row[0] == name and len(row) == columns)

    def pictures(self) -> list[Image.Image]:
        found = []
        for tag, attributes in self.tags:
            if tag == "img":
                head, _, content = str(attributes["src"]).partition(",")
                assert head in ("data:image/png;base64", "data:image/jpeg;base64")
                found.append(Image.open(io.BytesIO(base64.b64decode(content))))
        return found


def page_of(output: Output) -> Page:
    return Page(write_report(output.cfg, output.folder).read_text("utf-8"))


def predictions_of(output: Output) -> Path:
    return output.folder / "inference" / "coco_instances_results.json"


def test_the_page_has_every_part_and_needs_nothing_else(output: Output) -> None:
    file = write_report(output.cfg, output.folder)
    assert file == output.folder / "report.html"
    assert file.stat().st_size < 5_000_000
    assert [x.name for x in output.folder.glob(".report*")] == []
    page = Page(file.read_text("utf-8"))
    assert [heading for heading in page.headings if heading in SECTIONS] == SECTIONS
    assert len(page.pictures()) >= 4 + 3 + 3 + 2 * 6
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert str(attributes.get("href", "#")).startswith("#")
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags


def test_names_of_classes_are_shown_as_they_are(output: Output) -> None:
    page = page_of(output)
    assert set(NAMES) <= {row[0] for row in page.rows if len(row) == 9}
    assert [tag for tag, _ in page.tags if tag == "script"] == []


@pytest.mark.usefixtures("undrawn")
def test_the_numbers_are_those_of_the_set_worked_by_hand(output: Output) -> None:
    page = page_of(output)
    for kind, cost in HAND_COSTS.items():
        assert page.row(kind, 4)[2] == f"{100 * cost:.1f}"
    assert page.row("0.50", 2)[1] == f"{100 * HAND_AP:.1f}"
    assert page.row("localization", 4)[1] == "3"
    assert page.row(NAMES[0], 9)[1] == "3"  # objects, without the crowd


def test_every_kind_has_its_worst_image(output: Output) -> None:
    dataset = output.cfg.DATASETS.TEST[0]
    found = read_found(output.cfg, dataset, output.folder / "inference")
    assert found.threshold[0] == 0.55  # of precision 5/9 and recall 5/11
    shown = {(worst.kind, worst.image): list(worst.errors) for worst in worst_images(found, per_kind=1)}
    assert shown == {
        ("class", 1): [2],
        ("localization", 1): [3],
        ("duplicate", 1): [1],
        ("background", 2): [6],
        ("missed", 3): [11],  # images 1 and 2, which miss one too, are shown already
    }


@pytest.mark.usefixtures("undrawn")
def test_a_picture_shows_what_is_annotated_beside_what_was_found(output: Output) -> None:
    truth, predictions, *_ = page_of(output).pictures()  # of the first image
    assert truth.size == predictions.size == (360, 138)
    sides = [np.asarray(picture, dtype=int) for picture in (truth, predictions)]
    drawn = [(np.abs(side - (40, 120, 90)) > 40).any(-1) for side in sides]
    assert all(x.sum() > 100 for x in drawn)
    # The second object is of the first class, but taken for the second: in another color.
    assert np.abs(sides[0] - sides[1])[:8, 69:77].max() > 60


@pytest.mark.usefixtures("undrawn")
def test_facts_of_the_training_are_told(output: Output) -> None:
    write_facts(output.folder, seed=4711, device="cpu")
    page = page_of(output)
    assert page.row("seed", 2)[1] == "4711"
    assert page.row("torch", 2)[1]
    (output.folder / "run.json").write_text("[")
    assert page_of(output).row("seed", 2)[1] == "SEED -1"


def entry(image: int, category: int) -> str:
    return f'[{{"image_id": {image}, "category_id": {category}, "bbox": [0, 0, 1, 1], "score": 1}}]'


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take time."""
    monkeypatch.setattr(Album, "figure", lambda *_: [])


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("content", ["[1]", "{}", '[{"image_id": 1}]', "[", entry(9, 1), entry(1, 9)])
def test_predictions_that_cannot_be_used_are_said_in_their_place(output: Output, content: str) -> None:
    predictions_of(output).write_text(content)
    file = write_report(output.cfg, output.folder)
    page = Page(file.read_text("utf-8"))
    assert "Curves" in page.headings
    assert "Errors by kind" not in page.headings
    assert "json" in file.read_text("utf-8").partition("Average precision")[2]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("lost", ["predictions", "metrics", "image", "data", "found nothing", "all"])
def test_what_is_missing_is_left_out(output: Output, lost: str) -> None:
    if lost in ("predictions", "all"):
        predictions_of(output).unlink()
    if lost in ("metrics", "all"):
        (output.folder / "metrics.json").unlink()
    if lost == "image":
        (output.folder.parent / "1.png").unlink()
    if lost in ("data", "all"):
        (output.folder.parent / "data.json").unlink()
    if lost == "found nothing":
        predictions_of(output).write_text("[]")
    page = page_of(output)
    assert {"Curves", "Data", "Seed, versions and config"} <= set(page.headings)
    assert ("Errors by kind" in page.headings) == (lost in ("metrics", "image"))


def test_pictures_that_do_not_fit_are_left_out() -> None:
    album = Album(room=3000)
    picture = np.zeros((64, 64, 3), dtype=np.uint8)
    drawn = [album.photo(picture, "", "") for _ in range(10)]
    taken = sum(len(x.source) for part in drawn for x in part)
    assert 0 < taken <= 3000
    assert album.left_out == sum(not part for part in drawn) > 0


@pytest.mark.usefixtures("undrawn")
def test_the_command_writes_where_it_is_told(
    output: Output, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "new" / "page.html"
    assert main([str(output.folder), "--output", str(other)]) == 0
    assert other.is_file()
    assert not (output.folder / "report.html").exists()
    assert str(other) in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("undrawn")
def test_masks_are_scored_too(output: Output) -> None:
    predictions = json.loads(predictions_of(output).read_text())
    data = json.loads((output.folder.parent / "data.json").read_text())
    for x in (*predictions, *data["annotations"]):
        left, top, width, height = x["bbox"]
        right, bottom = left + width, top + height
        x["segmentation"] = [[left, top, right, top, right, bottom, left, bottom]]
    for x in predictions:
        (rle,) = mask_util.frPyObjects(x["segmentation"], 200, 520)
        x["segmentation"] = {**rle, "counts": rle["counts"].decode()}
    predictions_of(output).write_text(json.dumps(predictions))
    (output.folder.parent / "data.json").write_text(json.dumps(data))
    assert "Average precision of masks" in page_of(output).headings

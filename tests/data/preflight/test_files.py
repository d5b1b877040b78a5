"""Image files: are they there, can they be read, and have they the annotated size?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_d2.data.preflight import Report, files
from detr_d2.data.preflight.files import look_at_images, missing_files, spread

LIMIT = 10_000


def write(folder: Path, name: str, size: tuple[int, int], orientation: int = 1) -> str:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size).save(folder / name, exif=exif)
    return str(folder / name)


def look(paths: list[str], *sizes: tuple[float, float]) -> Report:
    report = Report("x")
    look_at_images(report, paths, np.array(sizes, dtype=np.float64), LIMIT)
    return report


def found(report: Report) -> dict[str, int]:
    return {finding.kind: finding.count for finding in report.findings}


def test_sizes_are_compared_and_exif_is_named_where_it_is_the_reason(tmp_path: Path) -> None:
    names = [
        write(tmp_path, f"{i}.jpg", (30, 20), orientation) for i, orientation in enumerate((1, 1, 6, 6, 1))
    ]
    report = look(names, (30, 20), (20, 30), (30, 20), (20, 30), (31, 20))
    assert found(report) == {"other-size": 2, "exif-size": 1}
    other, exif = sorted(report.findings, key=lambda finding: finding.kind, reverse=True)
    assert names[1] in other.first
    assert names[2] in exif.first
    assert report.headers == 5


def test_images_without_an_annotated_size_are_only_read(tmp_path: Path) -> None:
    assert found(look([write(tmp_path, "a.png", (30, 20))], (np.inf, np.inf))) == {}


def test_missing_files_and_folders_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    there = write(tmp_path, "a.png", (30, 20))
    gone = [str(tmp_path / "b.png"), str(tmp_path / "no" / "folder" / "c.png"), "\0", ""]
    report = look([there, *gone], *[(30, 20)] * 5)
    assert found(report) == {"missing-image": 4}
    assert report.findings[0].first == gone[0]


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text('{"images": []}')
    large = write(tmp_path, "large.png", (LIMIT, 2))
    names = [str(tmp_path / f"{name}.png") for name in ("folder", "empty", "text")]
    report = look([*names, large], *[(LIMIT, 2)] * 4)
    assert found(report) == {"unreadable-image": 4}
    assert names[0] in report.findings[0].first


def test_of_large_data_sets_a_spread_sample_is_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_HEADERS", 10)
    names = [write(tmp_path, f"{i}.png", (30, 20)) for i in range(25)]
    report = look(names, *[(1, 1)] * 25)
    assert found(report) == {"other-size": 10}
    assert report.headers == 10
    report.images = 25
    assert "of 10 images" in report.heading()


def test_the_sample_reaches_from_the_first_to_the_last_part() -> None:
    assert spread(3, 10) == [0, 1, 2]
    chosen = spread(1000, 10)
    assert chosen == list(range(0, 1000, 100))


def test_addresses_are_only_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def exists(address: str) -> bool:
        asked.append(address)
        return "gone" not in address

    monkeypatch.setattr(files.PathManager, "exists", exists)
    addresses = ["s3://bucket/a.jpg", "s3://bucket/gone.jpg"]
    assert missing_files(addresses) == addresses[1:]
    assert sorted(asked) == sorted(addresses)
    report = look(addresses, (1, 1), (1, 1))
    assert found(report) == {"missing-image": 1}
    assert report.headers == 0

"""From the files of a training's OUTPUT_DIR to one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..atomic import write_file
from ..errors import UserError, message, named
from ..progress import progress
from ..visualization import read_metrics, training_panels
from . import boxes, figures, panoptic
from .blocks import Album, Section, Table
from .data_statistics import data_section
from .examples import example_section
from .facts import read_facts

REPORT = "report.html"


def write_report(cfg: CfgNode, folder: str | Path, output: str | Path | None = None) -> Path:
    """Write a page on a training: curves, what the evaluation found, data and config.

    It has no scripts, and all pictures are in it. What cannot be told, because a file is missing or of no
    use, is said in its place.

    Args:
        cfg: of the training, with its data sets registered.
        folder: its OUTPUT_DIR.
        output: file to write; None: ``report.html`` in the folder.

    Returns:
        The file that was written.

    Raises:
        UserError: it cannot be written.
    """
    folder = Path(folder)
    file = Path(output) if output else folder / REPORT
    album = Album()
    made: dict[str, Callable[[], list[Section]]] = {"Training": lambda: _of_training(folder, album)}
    for dataset in cfg.DATASETS.TEST:
        place = folder / "inference" / (dataset if len(cfg.DATASETS.TEST) > 1 else "")
        made[f"Evaluation on {dataset}"] = partial(_of_dataset, cfg, dataset, place, album)
    made["Data"] = lambda: [data_section((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))]
    made["How it was made"] = lambda: [_made_of(cfg, read_facts(folder))]
    chapters = {title: make() for title, make in progress(made.items(), "Writing the report", len(made))}
    environment = Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("report.html").render(
        title=folder.resolve().name,
        made=datetime.now().astimezone().isoformat(sep=" ", timespec="minutes"),
        chapters=chapters,
        config=cfg.dump(),
        left_out=album.left_out,
    )
    with named(str(file)):
        write_file(str(file), lambda stream: stream.write(page.encode()))
    return file


def _of_training(folder: Path, album: Album) -> list[Section]:
    try:
        metrics = read_metrics(folder)
    except UserError as error:
        return [Section("Curves", [message(error)])]
    drawings = []
    for panel in training_panels(metrics):
        drawings += album.figure(figures.draw_training(panel), panel.title, f"{panel.title} by iteration")
    steps, _ = metrics.series("total_loss")
    return [Section("Curves", [f"{steps[-1] + 1:,} iterations."] if len(steps) else [], drawings)]


def _of_dataset(cfg: CfgNode, dataset: str, folder: Path, album: Album) -> list[Section]:
    """What an evaluation found, from the files that it wrote."""
    sections: list[Section] = []

    def add(title: str, part: Callable[[], list[Section]]) -> None:
        try:
            sections.extend(part())
        except UserError as error:
            sections.append(Section(title, [message(error)]))

    def of_boxes() -> list[Section]:
        found = boxes.read_found(cfg, dataset, folder)
        parts = boxes.box_sections(cfg, found, album)
        add_examples.append(lambda: [example_section(cfg, dataset, found, album)])
        return parts

    add_examples: list[Callable[[], list[Section]]] = []
    if (folder / panoptic.PREDICTIONS).is_file():
        add("Panoptic quality", lambda: [panoptic.panoptic_section(dataset, folder)])
    if (folder / boxes.PREDICTIONS).is_file():
        add("Average precision", of_boxes)
    for part in add_examples:
        add("Worst images of each kind", part)
    if not sections:
        sections.append(
            Section("Predictions", [f"There are none in {folder}: detr-d2 eval writes them to OUTPUT_DIR."])
        )
    return sections


def _made_of(cfg: CfgNode, facts: dict[str, Any]) -> Section:
    detr, solver = cfg.MODEL.DETR, cfg.SOLVER
    rows = [
        ["model", f"{cfg.MODEL.META_ARCHITECTURE}, decoder {detr.DECODER}, class loss {detr.CLASS_LOSS}"],
        ["backbone", f"{cfg.MODEL.BACKBONE.NAME}, depth {cfg.MODEL.RESNETS.DEPTH}"],
        ["queries and classes", f"{detr.NUM_OBJECT_QUERIES}, {detr.NUM_CLASSES}"],
        ["weights to start from", cfg.MODEL.WEIGHTS or "none"],
        ["iterations, images each", f"{solver.MAX_ITER:,}, {solver.IMS_PER_BATCH}"],
        ["seed", str(facts.get("seed", f"SEED {cfg.SEED}"))],
        ["started, or last resumed", str(facts.get("started", "not known"))],
    ]
    versions = facts.get("versions")
    if isinstance(versions, dict):
        rows += [[str(name), str(value)] for name, value in versions.items()]
    return Section("Seed, versions and config", tables=[Table(["", ""], rows, sentence=True)])

"""The tables of published models in README.md and docs/zoo.md, made from ``zoo.json``.

What was published and what detr_d2's own command measured are separate tables.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from detr_d2.checkpoint.zoo import INDEX_FILE, PREFIX
from detr_d2.model_zoo import ZooModel, get_config, zoo_models
from detr_d2.modeling.complexity import USUAL_SIZE, model_complexity

from .markers import markdown_table

COMMAND = f"detr-d2 complexity --config-file CONFIG --size {USUAL_SIZE[0]} {USUAL_SIZE[1]}"


def short_table() -> str:
    """A line for each model: its name and the published figures."""
    metrics = list(dict.fromkeys(name for model in zoo_models() for name in model.published))
    rows = [
        [f"`{PREFIX}{model.name}`", *(_figure(model, metric) for metric in metrics)] for model in zoo_models()
    ]
    return markdown_table(["Weights", *metrics], rows)


def published_tables() -> str:
    """The published figures, one table for all models that have the same metrics."""
    groups: dict[tuple[str, ...], list[ZooModel]] = {}
    for model in zoo_models():
        groups.setdefault(tuple(model.published), []).append(model)
    tables = []
    for metrics, group in groups.items():
        rows = [
            [
                f"`{model.config}`",
                model.backbone,
                _epochs(model),
                *(f"{value:.1f}" for value in model.published.values()),
                model.by or "DETR's authors",
                f"`{model.file.sha256}…`" if model.file.sha256 else "none",
                f"[`{PREFIX}{model.name}`]({model.file.url})",
            ]
            for model in group
        ]
        header = ["Config", "Backbone", "Epochs", *metrics, "Published by", "SHA-256", "Weights"]
        tables.append(markdown_table(header, rows))
    return "\n\n".join(tables)


def measured_table() -> str:
    """What was measured here, with the command that did it."""
    configs = {model.config: model for model in zoo_models()}
    rows = [
        [
            f"`{model.config}`",
            f"{model.measured['parameters'] / 1e6:.2f} M",
            f"{model.measured['multiply_adds'] / 1e9:.1f} G",
        ]
        for model in configs.values()
    ]
    table = markdown_table(["Config", "Parameters", "Multiply-adds"], rows)
    command = json.loads(INDEX_FILE.read_text("utf-8"))["measured_with"]
    return f"```\n{command}\n```\n\n{table}"


def _epochs(model: ZooModel) -> str:
    return f"{model.epochs} + {model.mask_epochs}" if model.mask_epochs else str(model.epochs)


def _figure(model: ZooModel, metric: str) -> str:
    return f"{model.published[metric]:.1f}" if metric in model.published else ""


def measure(file: Path) -> None:
    """Measure every model anew and write the figures into the data file ``file``."""
    content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    content["measured_with"] = COMMAND
    for entry in content["models"]:
        complexity = model_complexity(get_config(entry["config"]))
        entry["measured"] = vars(complexity)
    file.write_text(json.dumps(content, indent=2) + "\n", "utf-8")

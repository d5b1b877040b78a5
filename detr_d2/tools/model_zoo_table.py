"""The page MODEL_ZOO.md, made from ``zoo.json``: ``python -m detr_d2.tools.model_zoo_table``.

What the authors published and what detr_d2's own command measured are separate tables of the page.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..checkpoint.download import MIRROR_VARIABLE
from ..checkpoint.handler import PREFIX
from ..errors import UserError, named
from ..model_zoo import ZooModel, get_config, zoo_models
from ..model_zoo.index import INDEX_FILE, measuring_command
from .command import run_command
from .model_complexity import PROGRAM, USUAL_SIZE, model_complexity

COMMAND = f"{PROGRAM} --config-file configs/CONFIG --size {USUAL_SIZE[0]} {USUAL_SIZE[1]}"

PAGE = f"""\
<!-- Made from detr_d2/model_zoo/zoo.json: python -m detr_d2.tools.model_zoo_table --write MODEL_ZOO.md -->

# Model zoo

Weights that the authors of DETR published, by name. In Python:

```python
from detr_d2 import model_zoo

model = model_zoo.get("COCO-Detection/detr_R_50.yaml", trained=True)
cfg = model_zoo.get_config("COCO-Detection/detr_R_50.yaml", trained=True)  # for DefaultPredictor(cfg)
```

On the command line: `MODEL.WEIGHTS {PREFIX}detr_R_50`. The file is downloaded at its first use into the
cache of Detectron2's downloads (`$FVCORE_CACHE`, else `~/.torch/iopath_cache`), compared with its published
hash and converted. On a machine without network, put the file where the error message says, or set
`{MIRROR_VARIABLE}` to a folder or a base URL that has it.

## Published by the authors

Figures on COCO val2017 in percent, as the authors of DETR give them; their code is at
<https://github.com/facebookresearch/detr>. detr_d2 has not measured them again. Of models with masks, the
epochs are those of the detector, and further ones of the mask head with the detector frozen.

{{published}}

## Measured here

Parameters, and multiply-adds (attention included) of one image of {USUAL_SIZE[0]} x {USUAL_SIZE[1]} pixels,
with the 80 or 133 classes of COCO. Where there is a mask head, it makes masks of all 100 queries. What
exactly is counted says `{PROGRAM} --help`. The command for each row is

```
{{command}}
```

{{measured}}
"""


def zoo_page(models: Sequence[ZooModel], command: str) -> str:
    """The page, in Markdown.

    Args:
        models: its rows.
        command: what measured them.
    """
    published, measured = _published_tables(models), _measured_table(models)
    return PAGE.format(published=published, measured=measured, command=command)


def _published_tables(models: Sequence[ZooModel]) -> str:
    """One table for all models that have the same metrics."""
    groups: dict[tuple[str, ...], list[ZooModel]] = {}
    for model in models:
        groups.setdefault(tuple(model.published), []).append(model)
    tables = []
    for metrics, group in groups.items():
        rows = [
            [
                _config_link(model),
                model.backbone,
                _epochs(model),
                *(f"{value:.1f}" for value in model.published.values()),
                f"[`{PREFIX}{model.name}`]({model.file.url})",
            ]
            for model in group
        ]
        tables.append(_table(["Config", "Backbone", "Epochs", *metrics, "Weights"], rows))
    return "\n\n".join(tables)


def _measured_table(models: Sequence[ZooModel]) -> str:
    rows = [
        [
            _config_link(model),
            f"{model.measured['parameters'] / 1e6:.2f} M",
            f"{model.measured['multiply_adds'] / 1e9:.1f} G",
        ]
        for model in models
    ]
    return _table(["Config", "Parameters", "Multiply-adds"], rows)


def _epochs(model: ZooModel) -> str:
    return f"{model.epochs} + {model.mask_epochs}" if model.mask_epochs else str(model.epochs)


def _config_link(model: ZooModel) -> str:
    return f"[{model.config}](configs/{model.config})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def measure(file: Path) -> None:
    """Measure every model anew and write the figures into the data file ``file``."""
    content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    content["measured_with"] = COMMAND
    for entry in content["models"]:
        complexity = model_complexity(get_config(entry["config"]))
        entry["measured"] = vars(complexity)
    file.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m detr_d2.tools.model_zoo_table",
        description="Print the model zoo's page, or keep it up to date.",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--write", metavar="FILE", help="write the page")
    mode.add_argument("--check", metavar="FILE", help="fail where the file is not the page as it should be")
    mode.add_argument(
        "--measure", action="store_true", help=f"measure all models again, for {INDEX_FILE.name}"
    )
    return parser


def update(args: argparse.Namespace) -> None:
    """Measure, print, write or check.

    Raises:
        UserError: the file cannot be used, or ``--check`` finds an old page.
    """
    if args.measure:
        measure(INDEX_FILE)
        return
    page = zoo_page(zoo_models(), measuring_command())
    with named(args.write or args.check or "the page"):
        if args.write:
            Path(args.write).write_text(page, "utf-8")
        elif not args.check:
            print(page, end="")
        elif Path(args.check).read_text("utf-8") != page:
            command = f"python -m detr_d2.tools.model_zoo_table --write {args.check}"
            raise UserError(f"{args.check} is out of date; run `{command}`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), update, argv)


if __name__ == "__main__":
    sys.exit(main())

"""What is published, and the configs that come with detr_d2: ``detr-d2 zoo``."""

import argparse
import difflib
import sys
from collections.abc import Sequence

from tabulate import tabulate

from ..checkpoint.zoo import PREFIX
from ..errors import UserError
from ..model_zoo import ZooModel, zoo_models
from ..paths import config_names
from .command import CommandParser, run_command


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = CommandParser(
        "zoo",
        "List the models whose weights are published, with the published figures on COCO val2017 in percent, "
        "or tell all of one. Weights are downloaded when they are first used.",
        ["", "detr_R_50", "--configs"],
    )
    parser.add_argument("model", nargs="?", metavar="NAME", help="name or config of one published model")
    parser.add_argument("--configs", action="store_true", help="list the configs that come with detr_d2")
    return parser


def show(args: argparse.Namespace) -> None:
    """Print what is asked for.

    Raises:
        UserError: there is no such model.
    """
    if args.configs:
        print(*config_names(), sep="\n")
    elif args.model:
        print(details(find_model(args.model)))
    else:
        print(overview())


def overview() -> str:
    """A row for each published model; an empty figure is one that was not published."""
    models = zoo_models()
    metrics = list(dict.fromkeys(metric for model in models for metric in model.published))
    rows = [
        [
            PREFIX + model.name,
            model.config,
            *(model.published.get(metric) for metric in metrics),
            model.file.url,
        ]
        for model in models
    ]
    return tabulate(rows, ["weights", "config", *metrics, "published at"], floatfmt=".1f")


def find_model(name: str) -> ZooModel:
    """The published model of a name, ``detr://`` address or config.

    Raises:
        UserError: there is none; names those of like names.
    """
    # Of several models of one config the first counts, as in model_zoo.get_checkpoint_url.
    models = {key: m for m in zoo_models()[::-1] for key in (m.name, PREFIX + m.name, m.config)}
    if name not in models:
        near = difflib.get_close_matches(name, models, n=1) or [model.name for model in zoo_models()]
        raise UserError(f"there is no published model {name!r}; did you mean {', '.join(near)}?")
    return models[name]


def details(model: ZooModel) -> str:
    """All that is known of a published model, and how it is used."""
    weights = PREFIX + model.name
    masks = f", then {model.mask_epochs} of the mask head" if model.mask_epochs else ""
    figures = ", ".join(f"{metric} {value:.1f}" for metric, value in model.published.items())
    use = f"detr-d2 predict --config-file {model.config} --weights {weights} --input a.jpg --output out"
    facts = {
        "weights": weights,
        "config": model.config,
        "backbone": model.backbone,
        "trained for": f"{model.epochs} epochs of COCO{masks}",
        "COCO val2017": f"{figures} (as {model.by or 'its authors'} published)",
        "parameters": f"{model.measured['parameters'] / 1e6:.2f} M",
        "multiply-adds": f"{model.measured['multiply_adds'] / 1e9:.1f} G (an image of 800 x 1066 pixels)",
        "published at": model.file.url,
        "SHA-256": _hash(model),
        "try it": use,
    }
    return tabulate(facts.items(), tablefmt="plain")


def _hash(model: ZooModel) -> str:
    if model.file.sha256:
        return f"{model.file.sha256}…"
    pinned = model.file.known_sha256()
    said = f"{pinned}, of the first download here" if pinned else "that of your first download will be kept"
    return f"not published; {said}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), show, argv)


if __name__ == "__main__":
    sys.exit(main())

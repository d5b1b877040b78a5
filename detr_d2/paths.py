"""Where detr_d2's own files are, installed or run from a clone."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def configs_folder() -> Path:
    """Return the folder of the YAML configs: inside an installed package, beside it in a clone.

    Raises:
        FileNotFoundError: neither folder is there.
    """
    for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"detr_d2's configs are neither in {_PACKAGE / 'configs'} nor in {_PACKAGE.parent / 'configs'}: "
        "the installation is incomplete; install detr_d2 again."
    )


def config_names() -> list[str]:
    """The configs that come with detr_d2, relative to their folder: "COCO-Detection/detr_R_50.yaml"."""
    folder = configs_folder()
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml"))

"""The four functions of ``detectron2.model_zoo``, for detr_d2's configs and the published DETR weights."""

from __future__ import annotations

import difflib
import os

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from ..checkpoint import DetrCheckpointer
from ..checkpoint.zoo import PREFIX, zoo_models
from ..config_file import read_config
from ..errors import ConfigError, MissingFileError
from ..paths import config_names, configs_folder


def get_checkpoint_url(config_path: str) -> str:
    """Return what to set ``MODEL.WEIGHTS`` to for the published weights of a config.

    Args:
        config_path: relative to the folder of the configs, such as "COCO-Detection/detr_R_50.yaml".

    Returns:
        a ``detr://`` address, which all of Detectron2's tools can load: the file behind it is downloaded,
        checked and converted at its first use. :func:`zoo_models` has the address on the network.

    Raises:
        MissingFileError: there is no such config.
        ConfigError: nobody published weights for it.
    """
    get_config_file(config_path)
    for model in zoo_models():
        if model.config == config_path:
            return PREFIX + model.name
    known = ", ".join(model.config for model in zoo_models())
    raise ConfigError(f"no weights were published for the config {config_path}; there are some for {known}")


def get_config_file(config_path: str) -> str:
    """Return the path of a config that comes with detr_d2.

    Args:
        config_path: as for :func:`get_checkpoint_url`.

    Raises:
        MissingFileError: there is no such config; names those of like names.
    """
    names = config_names()
    if config_path not in names:
        near = difflib.get_close_matches(config_path, names, n=3, cutoff=0.5) or names
        raise MissingFileError(f"detr_d2 has no config {config_path!r}; did you mean {', '.join(near)}?")
    return os.fspath(configs_folder() / config_path)


def get_config(config_path: str, trained: bool = False) -> CfgNode:
    """Return a config that comes with detr_d2, with all keys of Detectron2 and detr_d2.

    Args:
        config_path: as for :func:`get_checkpoint_url`.
        trained: set ``MODEL.WEIGHTS`` to the published weights, which leave nothing to load from
            ``MODEL.DETR.FROZEN_WEIGHTS``. Otherwise both are the config's own.

    Raises:
        MissingFileError: there is no such config.
        ConfigError: ``trained``, and nobody published weights for it.
    """
    cfg = read_config(get_config_file(config_path))
    if trained:
        cfg.MODEL.WEIGHTS = get_checkpoint_url(config_path)
        cfg.MODEL.DETR.FROZEN_WEIGHTS = ""
    return cfg


def get(config_path: str, trained: bool = False, device: str | None = None) -> nn.Module:
    """Build the model of a config and load its weights.

    Args:
        config_path, trained: as for :func:`get_config`.
        device: in place of the config's; None takes the latter, or the CPU where PyTorch sees no GPU.

    Returns:
        the model, in training mode as Detectron2's ``get`` returns it.

    Raises:
        MissingFileError: there is no such config, or the weights are not here and cannot be downloaded.
        ConfigError: as :func:`get_config`, or the weights are damaged.
    """
    cfg = get_config(config_path, trained)
    cfg.MODEL.DEVICE = device or (cfg.MODEL.DEVICE if torch.cuda.is_available() else "cpu")
    model: nn.Module = build_model(cfg)
    DetrCheckpointer(model, class_rows=cfg.MODEL.DETR.CLASS_ROWS).load(cfg.MODEL.WEIGHTS)
    return model

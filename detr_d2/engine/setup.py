"""From the command line to a config that is ready to run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import default_argument_parser, default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from ..config import add_detr_config
from ..data import register_coco_json
from ..errors import ConfigError, MissingFileError


def argument_parser(epilog: str | None = None) -> argparse.ArgumentParser:
    """Detectron2's arguments, and ``--num-processes`` for the CPU."""
    parser = default_argument_parser(epilog)
    parser.set_defaults(num_gpus=None, dist_url="auto")
    parser.add_argument(
        "--num-processes",
        type=int,
        default=None,
        help="number of processes *per machine* on the CPU",
    )
    return parser


def load_config(args: argparse.Namespace) -> CfgNode:
    """Detectron2's and detr_d2's defaults, then ``--config-file``, then the keys of the command line.

    Raises:
        MissingFileError: there is no such file.
        ConfigError: it is no YAML, or a key does not exist or has a value of another type; names file and
            key.
    """
    return read_config(args.config_file, args.opts)


def read_config(config_file: str = "", opts: Sequence[str] = ()) -> CfgNode:
    """As :func:`load_config`, of a file ("" for none) and KEY VALUE pairs.

    Raises:
        MissingFileError, ConfigError: as said there.
    """
    cfg = get_cfg()
    add_detr_config(cfg)
    if config_file:
        if "://" not in config_file and not os.path.isfile(config_file):
            raise MissingFileError(f"--config-file {config_file} does not exist")
        with _config_errors(config_file):
            cfg.merge_from_file(config_file)
    with _config_errors("command line"):
        cfg.merge_from_list(list(opts))
    return cfg


@contextmanager
def _config_errors(where: str) -> Iterator[None]:
    """Say what yacs and PyYAML do not accept, and where."""
    try:
        yield
    except (KeyError, ValueError, AssertionError, yaml.YAMLError) as error:
        # KeyError's own text is the repr of its message.
        text = error if isinstance(error, yaml.YAMLError) or not error.args else error.args[0]
        raise ConfigError(f"{where}: {' '.join(str(text).split())}") from error


def check_device(cfg: CfgNode, num_gpus: int | None = None, num_processes: int | None = None) -> None:
    """Refuse a device that is not there, or does not fit what was asked for.

    Raises:
        ConfigError: says what to do.
    """
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    on_gpu = cfg.MODEL.DEVICE.startswith("cuda")
    if num_gpus and num_processes:
        raise ConfigError("--num-gpus and --num-processes exclude each other: the latter runs on the CPU")
    if num_gpus and num_gpus > available:
        raise ConfigError(
            f"--num-gpus {num_gpus}: PyTorch sees {available} GPUs on this machine. For the CPU leave it out "
            "and add MODEL.DEVICE cpu (and --num-processes N for several processes)"
        )
    if num_gpus and not on_gpu:
        raise ConfigError(
            f"--num-gpus {num_gpus}, but MODEL.DEVICE is {cfg.MODEL.DEVICE!r}: leave one of them out"
        )
    if num_processes and on_gpu:
        raise ConfigError(f"--num-processes {num_processes} runs on the CPU: add MODEL.DEVICE cpu")
    if on_gpu and not available:
        raise ConfigError(
            f"MODEL.DEVICE is {cfg.MODEL.DEVICE!r}, but PyTorch sees no GPU here: add MODEL.DEVICE cpu"
        )


def setup(args: argparse.Namespace) -> CfgNode:
    """Read the config, register its data sets, start the logs in OUTPUT_DIR and seed the process.

    Returns:
        the frozen config.

    Raises:
        MissingFileError, ConfigError: as :func:`load_config` and :func:`check_device`.
    """
    cfg = load_config(args)
    check_device(cfg, args.num_gpus, args.num_processes)
    register_coco_json(cfg)
    cfg.freeze()
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="detr_d2")
    default_setup(cfg, args)
    return cfg

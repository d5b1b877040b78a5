"""From the command line to a config that is ready to run."""

from __future__ import annotations

import argparse
import difflib

import torch
from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser, default_setup
from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from ..config_file import read_config
from ..data import read_classes, register_configured
from ..detectron2_keys import warn_of_keys_without_effect
from ..errors import ConfigError, named
from .auto_batch import check_auto_batch
from .own_data import use_own_data
from .recipe import resolve_recipe


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


def check_device(cfg: CfgNode, num_gpus: int | None = None, num_processes: int | None = None) -> None:
    """Refuse a device that is not there, or does not fit what was asked for.

    Raises:
        ConfigError: says what to do.
    """
    device = cfg.MODEL.DEVICE
    with named(f"MODEL.DEVICE {device!r}", (RuntimeError,), ConfigError):
        torch.device(device)
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    on_gpu = device.startswith("cuda")
    if num_gpus and num_processes:
        raise ConfigError("--num-gpus and --num-processes exclude each other: the latter runs on the CPU")
    if num_gpus and num_gpus > available:
        raise ConfigError(
            f"--num-gpus {num_gpus}: PyTorch sees {available} GPUs on this machine. For the CPU leave it out "
            "and add MODEL.DEVICE cpu (and --num-processes N for several processes)"
        )
    if num_gpus and not on_gpu:
        raise ConfigError(f"--num-gpus {num_gpus}, but MODEL.DEVICE is {device!r}: leave one of them out")
    if num_processes and on_gpu:
        raise ConfigError(f"--num-processes {num_processes} runs on the CPU: add MODEL.DEVICE cpu")
    if on_gpu and not available:
        raise ConfigError(f"MODEL.DEVICE is {device!r}, but PyTorch sees no GPU here: add MODEL.DEVICE cpu")
    check_auto_batch(cfg)


def make_ready(cfg: CfgNode) -> None:
    """Register a config's data sets, read what classes they have, and freeze it.

    A DATASETS.PATH is used as it was when OUTPUT_DIR was written, where it was.

    Raises:
        ConfigError: a model, backbone or data set that cannot be had; names the key.
        DataError: a file of annotations cannot be used.
    """
    for key, name, registry in (
        ("MODEL.META_ARCHITECTURE", cfg.MODEL.META_ARCHITECTURE, META_ARCH_REGISTRY),
        ("MODEL.BACKBONE.NAME", cfg.MODEL.BACKBONE.NAME, BACKBONE_REGISTRY),
    ):
        if name not in registry:
            near = difflib.get_close_matches(name, [known for known, _ in registry], n=3, cutoff=0.3)
            raise ConfigError(
                f"{key} is {name!r}, which is not registered; near are {', '.join(near) or 'none'}"
            )
    use_own_data(cfg, keep=True, testing=True)
    register_configured(cfg)
    read_classes(cfg)
    cfg.freeze()


def setup(args: argparse.Namespace) -> CfgNode:
    """Read the config, register its data sets, start the logs in OUTPUT_DIR and seed the process.

    Returns:
        the frozen config.

    Raises:
        UserError: as :func:`~detr_d2.config_file.read_config`, :func:`check_device` and :func:`make_ready`.
    """
    cfg = read_config(args.config_file, args.opts)
    check_device(cfg, args.num_gpus, args.num_processes)
    if cfg.DATASETS.PATH:  # of which there is much to say
        setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="detr_d2")
    use_own_data(cfg, keep=args.resume or args.eval_only, testing=args.eval_only, fixed=args.opts[::2])
    make_ready(cfg)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="detr_d2")
    if not args.eval_only:  # what the trainer would do; so the config that is written has it
        cfg = resolve_recipe(cfg, args.resume, fixed=args.opts[::2])
    default_setup(cfg, args)
    warn_of_keys_without_effect(cfg)
    return cfg

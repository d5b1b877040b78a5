"""Starts the processes of a training or evaluation: one, several GPUs, CPU processes, or torchrun's."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.utils import comm

from ..compat import create_local_process_group
from ..config_file import read_config
from ..errors import ConfigError, explained
from .ending import leave_when_terminated, one_message, wait_for
from .setup import check_device

_TIMEOUT = timedelta(minutes=30)
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")

MainFunction = Callable[[argparse.Namespace], Any]


class Place(NamedTuple):
    """A process among those of all machines, and among those of its own."""

    rank: int
    world_size: int
    local_rank: int
    local_size: int


def launch(main: MainFunction, args: argparse.Namespace) -> Any:
    """Run ``main(args)`` in as many processes as the command line asks for.

    Under ``torchrun`` this process is one of its group. Else ``--num-gpus`` (NCCL) or ``--num-processes``
    (CPU, gloo) are started on this machine, of ``--num-machines``. An error that a user can cause ends
    the program with one line. An error in one process ends those of its machine, and under torchrun those
    that torchrun looks after; on other machines they end when they miss it, which was not tried.

    Args:
        main: a function of a module, so that other processes can import it.
        args: of :func:`~detr_d2.engine.setup.argument_parser`.

    Returns:
        what ``main`` returns, where this process runs it itself.
    """
    with explained():
        cfg = read_config(args.config_file, args.opts)
        check_device(cfg, args.num_gpus, args.num_processes)
        if all(name in os.environ for name in _TORCHRUN):
            place = Place(*(int(os.environ[name]) for name in _TORCHRUN))
            return _run_in_group(main, args, cfg.MODEL.DEVICE, "env://", place)
        local_size = args.num_gpus or args.num_processes or 1
        if local_size * args.num_machines == 1:
            return main(args)
        url = _rendezvous(args)
    started = mp.start_processes(
        _run_worker,
        args=(main, args, cfg.MODEL.DEVICE, local_size, url),
        nprocs=local_size,
        join=False,
        start_method="spawn",
    )
    status = wait_for(started.processes)
    if status:
        sys.exit(status)
    return None


def _rendezvous(args: argparse.Namespace) -> str:
    """Where the processes meet."""
    if args.dist_url != "auto":
        return args.dist_url
    if args.num_machines > 1:
        raise ConfigError(f"--num-machines {args.num_machines} needs --dist-url tcp://HOST:PORT of machine 0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


def _run_worker(
    local_rank: int, main: MainFunction, args: argparse.Namespace, device: str, local_size: int, url: str
) -> None:
    leave_when_terminated()
    rank, world_size = args.machine_rank * local_size + local_rank, args.num_machines * local_size
    _run_in_group(main, args, device, url, Place(rank, world_size, local_rank, local_size))


def _run_in_group(main: MainFunction, args: argparse.Namespace, device: str, url: str, place: Place) -> Any:
    """Run the program as one of the processes that meet at ``url``; whatever it raises ends this process."""
    with one_message():
        store: dist.Store = next(dist.rendezvous(url, place.rank, place.world_size, timeout=_TIMEOUT))[0]
    with one_message(is_first=lambda: store.add("detr_d2/failures", 1) == 1):
        _join(device, place, store)
        result = main(args)
        dist.destroy_process_group()
        return result


def _join(device: str, place: Place, store: dist.Store) -> None:
    """Make this process one of the group, with its GPU or its share of the CPU's cores.

    Raises:
        ConfigError: there are fewer GPUs than processes on this machine.
    """
    on_gpu = device.startswith("cuda")
    if on_gpu:
        if place.local_size > torch.cuda.device_count():
            raise ConfigError(
                f"{place.local_size} processes for {torch.cuda.device_count()} GPUs on this machine: start "
                "fewer, or add MODEL.DEVICE cpu"
            )
        torch.cuda.set_device(place.local_rank)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // place.local_size))
    backend = "nccl" if on_gpu else "gloo"
    dist.init_process_group(
        backend, timeout=_TIMEOUT, store=store, rank=place.rank, world_size=place.world_size
    )
    create_local_process_group(place.local_size)
    comm.synchronize()

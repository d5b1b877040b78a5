"""Training metrics: shown in the logs, never part of the loss."""

from __future__ import annotations

import torch
from detectron2.utils.events import get_event_storage
from torch import Tensor

from .class_losses import ClassLoss
from .structures import Matches
from .targets import Targets


@torch.no_grad()
def detection_metrics(
    logits: Tensor, targets: Targets, matches: Matches, class_loss: ClassLoss
) -> dict[str, Tensor]:
    """How well the last decoder layer classifies and counts.

    Args:
        logits: (B, N, K) of the last layer, see :class:`ClassLoss`.
        targets: objects of the B images.
        matches: of all layers.
        class_loss: how classes are learned.

    Returns:
        scalars ``class_error`` (percent of matched queries whose best class is wrong; 100 without any)
        and ``cardinality_error`` (mean difference between the number of queries that have an object more
        likely than none, and the number of objects).
    """
    _, best = class_loss.best(logits)  # B x N
    wanted = targets.labels[matches.image, matches.target[-1]]
    correct = (best[matches.image, matches.query[-1]] == wanted).float()
    found = class_loss.found(logits).sum(1)
    counts = torch.tensor(targets.counts, device=logits.device)
    return {
        "class_error": 100 - 100 * correct.sum() / max(len(correct), 1),
        "cardinality_error": (found - counts).abs().float().mean(),
    }


def write_metrics(
    period: int, logits: Tensor, targets: Targets, matches: Matches, class_loss: ClassLoss
) -> None:
    """Give :func:`detection_metrics` to the event storage of the training loop that runs now, if one does.

    Args:
        period: iterations between two writings; 0 never writes.
        logits, targets, matches, class_loss: see there.
    """
    try:
        storage = get_event_storage()
    except AssertionError:  # how Detectron2 says that there is none
        return
    if period and (storage.iter + 1) % period == 0:
        storage.put_scalars(**detection_metrics(logits, targets, matches, class_loss))

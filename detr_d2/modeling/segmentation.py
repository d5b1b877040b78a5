"""From object queries to masks: attention maps over the image and a convolutional head."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from .mask_criterion import MaskCriterion

NORM_GROUPS = 8  # of every group normalization


def check_mask_widths(channels: int, heads: int, stages: int) -> None:
    """Refuse a number of channels that the head's group normalization cannot divide.

    Args:
        channels: d of every token.
        heads: attention maps of a query.
        stages: finer feature maps.

    Raises:
        ConfigError: says which of the config's keys to change.
    """
    halvings = 2 ** (stages + 1)  # the narrowest layer has d / halvings channels
    if channels % (NORM_GROUPS * halvings) == 0 and (channels + heads) % NORM_GROUPS == 0:
        return
    raise ConfigError(
        f"MODEL.DETR.HIDDEN_DIM is {channels}, but with MODEL.MASK_ON must be divisible by "
        f"{NORM_GROUPS * halvings} (for MODEL.DETR.MASK_FEATURES of {stages} stages) and, together with "
        f"MODEL.DETR.NHEADS ({heads}), by {NORM_GROUPS}: the mask head normalizes in groups of channels"
    )


class BoxAttentionMaps(nn.Module):
    """Where each query looks: attention weights without values (figure 8 of the DETR paper).

    Args:
        channels: d of queries and memory.
        heads: maps of each query.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q_linear = nn.Linear(channels, channels)
        self.k_linear = nn.Linear(channels, channels)
        for linear in (self.q_linear, self.k_linear):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, queries: Tensor, memory: Tensor, padding: Tensor) -> Tensor:
        """Attend to one image; one softmax runs over all heads and cells together.

        Args:
            queries: (n, d), any number of them.
            memory: (h·w, d), the encoded image.
            padding: (h, w) bool, True on padding, which gets no weight.

        Returns:
            (n, heads, h, w).
        """
        q = self.q_linear(queries).unflatten(-1, (self.heads, -1))  # n x heads x c
        k = self.k_linear(memory).unflatten(-1, (self.heads, -1)).unflatten(0, padding.shape)
        scores = torch.einsum("qnc,hwnc->qnhw", q * q.shape[-1] ** -0.5, k)
        scores = scores.masked_fill(padding, float("-inf"))
        return scores.flatten(1).softmax(-1).view_as(scores)


class MaskHead(nn.Module):
    """Convolutions that turn attention maps into masks, adding finer features on the way.

    ``lay1`` and ``lay2`` work at the transformer's resolution. Each further layer works at that of a finer
    feature map, which an ``adapter`` brings to its width and which is added after nearest upsampling. Layers
    give d + heads, d/2, d/4, ... channels; all but ``out_lay`` end in group normalization and ReLU.

    What does not depend on the query is computed once for each image: the adapters, and that part of the
    first convolution that reads the image, since a convolution of joined inputs is a sum of two.

    Args:
        channels: d, of the projected features.
        heads: attention maps of each query.
        feature_channels: channels of the finer feature maps by name, from coarse to fine; there may be none.
        criterion: the loss of masks in training; None where the head is not trained.

    Raises:
        ConfigError: the widths cannot be divided into groups.
    """

    lay1: nn.Conv2d  # made with the others, by number
    lay2: nn.Conv2d
    gn1: nn.GroupNorm
    gn2: nn.GroupNorm

    def __init__(
        self,
        channels: int,
        heads: int,
        feature_channels: Mapping[str, int],
        criterion: MaskCriterion | None = None,
    ):
        super().__init__()
        check_mask_widths(channels, heads, len(feature_channels))
        self.in_features = tuple(feature_channels)
        self.criterion = criterion
        self.channels = channels
        self.heads = heads
        halved = [channels // 2**i for i in range(1, len(feature_channels) + 2)]
        widths = [channels + heads, channels + heads, *halved]
        for i, (before, after) in enumerate(itertools.pairwise(widths), start=1):
            setattr(self, f"lay{i}", nn.Conv2d(before, after, 3, padding=1))
            setattr(self, f"gn{i}", nn.GroupNorm(NORM_GROUPS, after))
        self.out_lay = nn.Conv2d(widths[-1], 1, 3, padding=1)
        for i, in_channels in enumerate(feature_channels.values(), start=1):
            setattr(self, f"adapter{i}", nn.Conv2d(in_channels, widths[i + 1], 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(
        self,
        projected: Tensor,
        finer: Sequence[Tensor],
        attention: Tensor,
        counts: Sequence[int],
        chunk: int | None = None,
    ) -> Tensor:
        """Masks of any number of queries of each image.

        Args:
            projected: (B, d, h, w), the features that the transformer reads.
            finer: (B, C_i, h_i, w_i) each, from coarse to fine.
            attention: (Q, heads, h, w), maps of the queries, image after image.
            counts: queries of each image; their sum is Q.
            chunk: queries that are computed at a time, which bounds memory; None takes all at once.

        Returns:
            (Q, H, W) logits at the resolution of the finest features.
        """
        if not len(attention):
            return attention.new_zeros(0, *(finer[-1] if finer else projected).shape[-2:])
        shared = self.shared_features(projected, finer)
        owner = [image for image, count in enumerate(counts) for _ in range(count)]
        chunk = chunk or len(owner)
        logits = [
            self.query_masks(shared, attention[i : i + chunk], owner[i : i + chunk])
            for i in range(0, len(owner), chunk)
        ]
        return logits[0] if len(logits) == 1 else torch.cat(logits)

    def shared_features(self, projected: Tensor, finer: Sequence[Tensor]) -> list[Tensor]:
        """What all queries of an image share, from coarse to fine: (B, ·, h, w), (B, ·, h_1, w_1), ..."""
        first = F.conv2d(projected, self.lay1.weight[:, : self.channels], self.lay1.bias, padding=1)
        return [first, *(getattr(self, f"adapter{i}")(x) for i, x in enumerate(finer, start=1))]

    def query_masks(self, shared: Sequence[Tensor], attention: Tensor, owner: Sequence[int]) -> Tensor:
        """The head itself.

        Args:
            shared: of :meth:`shared_features`.
            attention: (q, heads, h, w).
            owner: the image of each query, ascending.

        Returns:
            (q, H, W).
        """
        counts = [owner.count(image) for image in range(len(shared[0]))]
        attention = attention.contiguous(memory_format=torch.channels_last)  # as the features are: faster
        x = F.conv2d(attention, self.lay1.weight[:, self.channels :], padding=1)
        x = self.gn1(x.add_(for_each_query(shared[0], counts))).relu_()
        x = self.gn2(self.lay2(x)).relu_()
        for i, finer in enumerate(shared[1:], start=3):
            x = F.interpolate(x, size=finer.shape[-2:], mode="nearest")
            x = getattr(self, f"lay{i}")(x.add_(for_each_query(finer, counts)))
            x = getattr(self, f"gn{i}")(x).relu_()
        return self.out_lay(x)[:, 0]


def for_each_query(features: Tensor, counts: Sequence[int]) -> Tensor:
    """Repeat each image's features for its queries, or not at all where one image has all of them.

    Args:
        features: (B, C, h, w).
        counts: queries of each of the B images.

    Returns:
        (q, C, h, w), or (1, C, h, w), which broadcasts to it.
    """
    used = [(image, count) for image, count in zip(features.split(1), counts, strict=True) if count]
    if len(used) == 1:
        return used[0][0]
    return torch.cat([image.expand(count, -1, -1, -1) for image, count in used])

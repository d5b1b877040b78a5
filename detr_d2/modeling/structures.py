"""What the parts of a DETR give each other: data, so that none has to know another.

B images, S cells of their feature map (of all levels together), Q queries, L decoder layers, d channels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Memory:
    """The encoded images.

    Attributes:
        tokens: (B, S, d), after the encoder.
        projected: (B, S, d), before it: the backbone's features, projected.
        position: (B or 1, S, d), the encoding of where each cell is.
        padding: (B, S) bool, True on padding; None where no image is padded.
        shapes: (height, width) of each level, in cells; S is the sum of their products.
    """

    tokens: Tensor
    projected: Tensor
    position: Tensor
    padding: Tensor | None
    shapes: tuple[tuple[int, int], ...]

    @cached_property
    def keys(self) -> Tensor:
        """(B, S, d): the tokens with their position, the same for all decoder layers."""
        return self.tokens + self.position

    def padding_maps(self) -> Tensor:
        """(B, h, w) bool of the first level, True on padding."""
        padding = self.padding
        if padding is None:
            padding = torch.zeros(self.tokens.shape[:2], dtype=torch.bool, device=self.tokens.device)
        return self.maps(padding)

    @cached_property
    def extent(self) -> Tensor:
        """(B, 2) int64: columns and rows of the first level that an image has without its padding."""
        valid = ~self.padding_maps()
        return torch.stack([valid.any(1).sum(1), valid.any(2).sum(1)], dim=1)

    def cell_centers(self) -> Tensor:
        """(B, S, 2): (x, y) of the first level's cells as a share of the image; on padding more than 1."""
        height, width = self.shapes[0]
        columns, rows = self.extent.unbind(1)
        x = (torch.arange(width, device=rows.device) + 0.5) / columns[:, None]  # B x w
        y = (torch.arange(height, device=rows.device) + 0.5) / rows[:, None]
        pair = x[:, None].expand(-1, height, -1), y[..., None].expand(-1, -1, width)
        return torch.stack(pair, dim=-1).flatten(1, 2)

    def maps(self, tokens: Tensor, level: int = 0) -> Tensor:
        """(B, S, ...) → (B, ..., h, w) of a level."""
        sizes = [height * width for height, width in self.shapes]
        of_level = tokens.split(sizes, dim=1)[level].unflatten(1, self.shapes[level])
        return of_level.movedim((1, 2), (-2, -1))


@dataclass(frozen=True)
class Matches:
    """Matched pairs of every layer: M pairs a layer, image after image; one layer may stand for all.

    An image with T objects gives min(N, T) pairs at every layer, hence one ``image`` for all layers.

    Attributes:
        image: (M,) int64, index into the B images, or into their G·B groups.
        query: (L or 1, M) int64, the matched query.
        target: (L or 1, M) int64, the object that it is matched with.
        broken: indices into the batch of the images whose predictions are NaN or infinite.
    """

    image: Tensor
    query: Tensor
    target: Tensor
    broken: tuple[int, ...] = ()


@dataclass(frozen=True)
class Supervision:
    """How some predictions learn.

    Attributes:
        suffix: of the names of their losses; losses of one name are added.
        weight: of all their losses.
        matches: who is to predict what; None lets the matcher decide, layer by layer.
        ignored: (G·B, n) bool, True where a row takes no part in the class loss; None: all do.
        per_object: divide the class loss by the number of objects, not by the sum of label weights.
    """

    suffix: str = ""
    weight: float = 1.0
    matches: Matches | None = None
    ignored: Tensor | None = None
    per_object: bool = False


@dataclass(frozen=True)
class Part:
    """Rows of the queries that learn in one way, and what they see of the others.

    A row attends to the rows of its own part, and to those of earlier parts that are named here: no row
    sees a later part. Inference has the first part alone.

    Attributes:
        rows: of the queries, n of them.
        groups: equal groups of rows that do not see each other. For the loss, which matches each by itself,
            a group is like another image with the same objects.
        reads: rows of earlier parts that all rows of this one see, in that order.
        hidden: (n', m) or (B, n' or 1, m) bool, True where a row may not attend to a key; n' = n / groups,
            and the keys are those of ``reads`` and then the group's own. None hides nothing. A row needs
            one key at least.
        supervision: how the rows learn.
    """

    rows: slice
    groups: int = 1
    reads: tuple[slice, ...] = ()
    hidden: Tensor | None = None
    supervision: Supervision = Supervision()


@dataclass(frozen=True)
class Queries:
    """Object queries: what a decoder starts from.

    Attributes:
        content: (1 or B, Q, d).
        position: (1 or B, Q, d), learned; or None.
        reference: (1 or B, Q, 2 or 4), a point (cx, cy) or box (cx, cy, w, h) before the sigmoid; or None.
        parts: of the rows, in their order; the first is what inference keeps.
        place: (1 or B, Q, d), what a layer compares with the positions of the cells, where its decoder keeps
            place and content apart and says so, layer by layer; or None.
    """

    content: Tensor
    position: Tensor | None
    reference: Tensor | None
    parts: tuple[Part, ...]
    place: Tensor | None = None

    def __len__(self) -> int:
        return self.content.shape[1]

    def located(self, content: Tensor) -> Tensor:
        """Content (B, Q, d) with its position."""
        assert self.position is not None, "these queries have no position"
        return content + self.position

    def joined(self, more: Queries) -> Queries:
        """These and more of their kind after them, whose parts have the numbers of the joint rows already."""
        assert (self.position is None) == (more.position is None), "queries of one kind all have positions"
        assert (self.reference is None) == (more.reference is None), "queries of one kind all have references"
        return Queries(
            _join(self.content, more.content),
            None if self.position is None else _join(self.position, more.position),
            None if self.reference is None else _join(self.reference, more.reference),
            self.parts + more.parts,
        )


@dataclass(frozen=True)
class Decoded:
    """What a decoder makes of queries.

    Attributes:
        hidden: (L, B, Q, d), after each layer.
        reference: (1 or L, B, Q, 2 or 4), what each layer's boxes are predicted relative to, before
            the sigmoid; or None.
    """

    hidden: Tensor
    reference: Tensor | None = None


@dataclass(frozen=True)
class Prediction:
    """Classes and boxes that learn in one way.

    Attributes:
        logits: (L, G·B, n, K), see ``ClassLoss``: each image's G groups in a row, as if they were images.
        boxes: (L, G·B, n, 4) as (cx, cy, w, h), a share of the image without its padding.
        supervision: how they learn.
        reference: (L, G·B, n, 2 or 4), what the boxes are predicted relative to, before the sigmoid; or None.
    """

    logits: Tensor
    boxes: Tensor
    supervision: Supervision = Supervision()
    reference: Tensor | None = None

    @classmethod
    def of(cls, part: Part, logits: Tensor, boxes: Tensor, reference: Tensor | None = None) -> Prediction:
        """A part's, out of those (L, B, Q, ·) of all queries; the reference may be one for all (see
        :class:`Decoded`)."""

        def own(x: Tensor) -> Tensor:
            return x[:, :, part.rows].unflatten(2, (part.groups, -1)).flatten(1, 2)

        if reference is not None:
            reference = own(reference.expand(*boxes.shape[:3], -1))
        return cls(own(logits), own(boxes), part.supervision, reference)

    def last_layer(self) -> Prediction:
        """The same without the layers before the last."""
        reference = None if self.reference is None else self.reference[-1:]
        return replace(self, logits=self.logits[-1:], boxes=self.boxes[-1:], reference=reference)

    def reference_sizes(self) -> Tensor:
        """(L, G·B, n, 2) without gradient: width and height of the references as shares of the image, of a
        point one half; where there is none, the image's own, 1."""
        if self.reference is None:
            return torch.ones_like(self.boxes[..., 2:])
        return F.pad(self.reference.detach(), (0, 4 - self.reference.shape[-1]))[..., 2:].float().sigmoid()


def _join(one: Tensor, other: Tensor | None) -> Tensor:
    """(1 or B, Q, ·) and (1 or B, R, ·) → (1 or B, Q + R, ·)."""
    assert other is not None, "queries of one kind have the same fields"
    images = max(len(one), len(other))
    return torch.cat([x.expand(images, -1, -1) for x in (one, other)], dim=1)

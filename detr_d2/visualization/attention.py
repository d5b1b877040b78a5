"""Where a model looks: the weights of its attention, computed anew from what the fast kernels were given.

The model is not changed, and gives what it always gives: its kernels keep no weights, so queries and keys are
noted on their way to them, and compared again for the few queries that are to be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import UserError


@dataclass(frozen=True)
class Compared:
    """What one layer's attention compared.

    Attributes:
        queries: (B, heads, N, c).
        keys: (B, heads, S, c), of the cells of the feature map.
        mask: (B, 1, 1, S) bool, False on padding; or (B, heads, N, S), a bias on the scores, -inf on padding;
            None where there is no bias and no image is padded.
    """

    queries: Tensor
    keys: Tensor
    mask: Tensor | None

    def weights(self, image: int, rows: Tensor) -> Tensor:
        """softmax(q·kᵀ / √c + bias) of some queries, the mean over the heads.

        Args:
            image: of the batch.
            rows: (n,) int64, queries.

        Returns:
            (n, S) float32; each row's sum is 1, and padding has 0.
        """
        q, k = self.queries[image, :, rows].float(), self.keys[image].float()  # heads x n x c, heads x S x c
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if self.mask is not None and self.mask.dtype == torch.bool:
            scores = scores.masked_fill(~self.mask[image], float("-inf"))
        elif self.mask is not None:
            scores = scores + self.mask[image, :, rows]
        return scores.softmax(-1).mean(0)


@dataclass(frozen=True)
class ImageAttention:
    """Where a model looked in one image.

    Attributes:
        encoder, decoder: what each layer compared: cells with cells, and object queries with cells.
        image: place in the batch.
        shape: (h, w) of the feature map, in cells.
        covered: the share of its height and width that the image covers; the rest is padding.
        size: (height, width) of the results in pixels.
        boxes: (n, 4) of the detections, (x0, y0, x1, y1) in those pixels, best first.
        scores: (n,) in [0, 1].
        classes: (n,) int64.
        queries: (n,) int64, where each detection comes from.
    """

    encoder: Sequence[Compared]
    decoder: Sequence[Compared]
    image: int
    shape: tuple[int, int]
    covered: tuple[float, float]
    size: tuple[int, int]
    boxes: Tensor
    scores: Tensor
    classes: Tensor
    queries: Tensor

    def of_detections(self, detections: Sequence[int], layer: int = -1) -> Tensor:
        """Cross-attention of the queries of some detections (figure 6 of the DETR paper).

        Args:
            detections: their places, from 0 on.
            layer: of the decoder; negative ones count from the last.

        Returns:
            (n, h, w) float32; each map's sum is 1, and padding has 0.

        Raises:
            UserError: there is no such detection or layer.
        """
        for number in detections:
            if not 0 <= number < len(self.queries):
                text = f"detection {number + 1}: the image has {len(self.queries)}, the best one is 1"
                raise UserError(f"there is no {text}")
        rows = self.queries[torch.tensor(list(detections), dtype=torch.int64)]
        return self._maps(_layer(self.decoder, layer, "decoder"), rows)

    def of_points(self, points: Sequence[tuple[float, float]], layer: int = -1) -> Tensor:
        """Self-attention of the cells at some points (figure 3 of the DETR paper).

        Args:
            points: (x, y) in pixels of the results.
            layer: of the encoder; negative ones count from the last.

        Returns:
            (n, h, w) float32; each map's sum is 1, and padding has 0.

        Raises:
            UserError: a point lies outside the image, or there is no such layer.
        """
        (height, width), (h, w) = self.size, self.shape
        cells = []
        for x, y in points:
            if not (0 <= x < width and 0 <= y < height):
                raise UserError(f"the point {x:g},{y:g} lies outside the image of {width} x {height} pixels")
            row, column = y / height * self.covered[0] * h, x / width * self.covered[1] * w
            cells.append(min(int(row), h - 1) * w + min(int(column), w - 1))
        return self._maps(_layer(self.encoder, layer, "encoder"), torch.tensor(cells, dtype=torch.int64))

    def enlarge(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Maps (n, h, w) as (n, *size), without padding; values between cells are interpolated."""
        high, wide = self.covered
        padded = round(size[0] / high), round(size[1] / wide)
        return F.interpolate(maps[:, None], padded, mode="bilinear")[:, 0, : size[0], : size[1]]

    def _maps(self, compared: Compared, rows: Tensor) -> Tensor:
        weights = compared.weights(self.image, rows.to(compared.queries.device)).cpu()
        return weights.unflatten(1, self.shape)


@dataclass
class Watched:
    """What :func:`watch_attention` notes of a model's last call, all images of the batch together."""

    model: Any
    encoder: dict[int, Compared] = field(default_factory=dict)
    decoder: dict[int, Compared] = field(default_factory=dict)
    inputs: Sequence[dict[str, Any]] = ()
    padded: tuple[int, int] = (0, 0)
    shape: tuple[int, int] = (0, 0)
    logits: Tensor | None = None
    boxes: Tensor | None = None

    def image(self, index: int = 0) -> ImageAttention:
        """Of one image of the batch.

        Raises:
            UserError: the model was not called, or its decoder does not attend by PyTorch's kernels.
        """
        if not self.decoder or self.logits is None or self.boxes is None:
            raise UserError(
                "no attention was seen: call the model inside watch_attention, and let its decoder attend by "
                "torch.nn.functional.scaled_dot_product_attention in layers[i].multihead_attn"
            )
        given = self.inputs[index]
        height, width = given["image"].shape[-2:]
        size = int(given.get("height", height)), int(given.get("width", width))
        rule = self.model.inference
        found = rule.class_loss.candidates(self.logits, rule.limit, rule.things)
        scores, classes, queries = (x[index].cpu() for x in found)
        kept = torch.nonzero(scores >= rule.score_threshold)[:, 0]
        if rule.things is not None:
            kept = kept[torch.isin(classes[kept], torch.tensor(list(rule.things)))]
        order = kept[scores[kept].argsort(descending=True, stable=True)]
        center, extent = self.boxes[index, queries[order].to(self.boxes.device)].float().cpu().split(2, -1)
        scale = torch.tensor([size[1], size[0], size[1], size[0]], dtype=torch.float32)
        return ImageAttention(
            encoder=[self.encoder[layer] for layer in sorted(self.encoder)],
            decoder=[self.decoder[layer] for layer in sorted(self.decoder)],
            image=index,
            shape=self.shape,
            covered=(height / self.padded[0], width / self.padded[1]),
            size=size,
            boxes=torch.cat([center - extent / 2, center + extent / 2], -1) * scale,
            scores=scores[order],
            classes=classes[order],
            queries=queries[order],
        )


@contextmanager
def watch_attention(model: nn.Module) -> Iterator[Watched]:
    """Note what a DETR's attention compares while it is called, in evaluation mode.

    ::

        with watch_attention(model) as watched:
            model([{"image": image, "height": height, "width": width}])
        maps = watched.image(0).of_detections([0, 1])

    It holds for any decoder whose layers are ``layers`` and attend to the image by their ``multihead_attn``.

    Args:
        model: :class:`~detr_d2.modeling.Detr`.
    """
    watched: Any = Watched(model)
    parts: Any = model
    with ExitStack() as stack:
        recorder = stack.enter_context(_Recorder())

        def on(module: nn.Module, note: Callable[[Any, Any], None], before: bool = False) -> None:
            """Call ``note`` with the arguments of a module, and its result."""
            if before:
                hook: Any = module.register_forward_pre_hook(lambda _, given: note(given, None))
            else:
                hook = module.register_forward_hook(lambda _, given, result: note(given, result))
            stack.callback(hook.remove)

        def into(target: dict[int, Compared], layer: int, module: nn.Module) -> None:
            def done(_: Any, __: Any) -> None:
                recorder.target = None

            on(module, lambda _, __: recorder.start(target, layer), before=True)
            on(module, done)

        for layer, part in enumerate(parts.transformer.encoder.layers):
            into(watched.encoder, layer, part.self_attn)
        for layer, part in enumerate(parts.transformer.decoder.layers):
            into(watched.decoder, layer, part.multihead_attn)
        on(model, lambda given, _: _set(watched, inputs=given[0], padded=_padded_size(parts, given[0])), True)
        on(parts.input_proj, lambda _, result: _set(watched, shape=tuple(result.shape[-2:])))
        # The last call counts: decoders that refine boxes call the head after every layer, too.
        on(parts.class_embed, lambda _, result: _set(watched, logits=result[-1].detach()))
        on(parts.bbox_embed, lambda _, result: _set(watched, boxes=result[-1].detach().sigmoid()))
        yield watched


def _padded_size(model: Any, batched_inputs: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Height and width of the batch; the backbone is not asked, for a copy of it may be called."""
    height, width = model.preprocess(batched_inputs).tensor.shape[-2:]
    return height, width


class _Recorder(TorchFunctionMode):
    """Notes the arguments of PyTorch's attention kernel while a layer is named."""

    def __init__(self) -> None:
        super().__init__()
        self.target: tuple[dict[int, Compared], int] | None = None

    def start(self, target: dict[int, Compared], layer: int) -> None:
        self.target = target, layer

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and self.target is not None:
            target, layer = self.target
            query, key, mask = *args[:2], kwargs.get("attn_mask")
            target[layer] = Compared(query.detach(), key.detach(), None if mask is None else mask.detach())
        return func(*args, **kwargs)


def _set(watched: Watched, **values: Any) -> None:
    for name, value in values.items():
        setattr(watched, name, value)


def _layer(layers: Sequence[Compared], layer: int, what: str) -> Compared:
    if not -len(layers) <= layer < len(layers):
        number = layer if layer < 0 else layer + 1
        raise UserError(f"there is no layer {number} of the {what}, which has {len(layers)}")
    return layers[layer]

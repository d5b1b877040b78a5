"""DETR as a Detectron2 meta-architecture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.modeling.backbone import Backbone
from detectron2.structures import ImageList
from torch import Tensor, nn

from .build import detr_arguments
from .criterion import SetCriterion
from .inference import Inference, Sizes
from .mask_criterion import MaskCriterion
from .matcher import match_centers
from .metrics import current_event_storage, detection_metrics
from .mlp import MLP
from .normalizers import LossNormalizers
from .padding import pad_images, padding_mask, resize_padding_mask
from .precision import without_autocast
from .segmentation import BoxAttentionMaps, MaskHead
from .targets import Targets, image_name
from .transformer import Transformer


class Decoded(NamedTuple):
    """What the transformer makes of a batch of images, and what it made it of.

    Attributes:
        queries: (L, B, N, d) after every decoder layer, in training K·N of them, group after group.
        memory: (B, h·w, d), the encoded image.
        padding: (B or 1, h, w) bool, True on padding.
        projected: (B, d, h, w), the backbone's features as the transformer reads them.
        features: (B, C, ·, ·) each, all of the backbone's features by name.
    """

    queries: Tensor
    memory: Tensor
    padding: Tensor
    projected: Tensor
    features: dict[str, Tensor]


@META_ARCH_REGISTRY.register()
class Detr(nn.Module):
    """Detection transformer (Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020).

    Args:
        backbone: any Detectron2 backbone.
        in_feature: name of the backbone's feature map that the transformer reads.
        position_encoding: maps a padding mask (B, H, W) to (B, d, H, W).
        transformer: encoder and decoder.
        criterion: the loss in training.
        hidden_dim: d, channels of every token.
        num_classes: object classes C; a class C for no-object is added.
        num_queries: object queries N, the largest number of detections in an image.
        query_groups: groups K of N queries in training (Chen et al., "Group DETR", ICCV 2023), each matched
            with the objects by itself; inference keeps the first.
        position_in_content: add the position encoding to the features too, not only to queries and keys.
        encoder_loss_weight: weight of :meth:`encoder_losses`; 0 computes none.
        deep_supervision: supervise every decoder layer, not only the last.
        mask_head: makes masks of queries; None makes none.
        mask_features: names of the backbone's feature maps that it adds, from coarse to fine.
        mask_criterion: the loss of masks in training.
        frozen: train the mask head alone; all else has no gradient and stays in evaluation mode.
        inference: what to give in inference.
        metrics_period: iterations between two writings of training metrics; 0 never writes.
        pixel_mean, pixel_std: of each input channel, in the units of the images (0 to 255).
        input_format: channel order of the images, "RGB" or "BGR"; read by Detectron2's tools.
    """

    pixel_mean: Tensor
    pixel_std: Tensor
    # Names of the classes, by their numbers; whoever trains or loads the model sets them.
    class_names: Sequence[str] | None = None

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        in_feature: str,
        position_encoding: nn.Module,
        transformer: Transformer,
        criterion: SetCriterion,
        hidden_dim: int = 256,
        num_classes: int = 80,
        num_queries: int = 100,
        query_groups: int = 1,
        position_in_content: bool = False,
        encoder_loss_weight: float = 0.0,
        deep_supervision: bool = True,
        mask_head: MaskHead | None = None,
        mask_features: Sequence[str] = (),
        mask_criterion: MaskCriterion | None = None,
        frozen: bool = False,
        inference: Inference | None = None,
        metrics_period: int = 20,
        pixel_mean: Sequence[float] = (123.675, 116.28, 103.53),
        pixel_std: Sequence[float] = (58.395, 57.12, 57.375),
        input_format: str = "RGB",
    ):
        super().__init__()
        self.backbone = backbone
        self.in_feature = in_feature
        self.position_encoding = position_encoding
        self.transformer = transformer
        self.criterion = criterion
        self.input_proj = nn.Conv2d(backbone.output_shape()[in_feature].channels, hidden_dim, kernel_size=1)
        self.query_embed = nn.Embedding(query_groups * num_queries, hidden_dim)
        self.class_embed = nn.Linear(hidden_dim, num_classes + 1)
        self.bbox_embed = MLP(hidden_dim, hidden_dim, 4, num_layers=3)
        self.mask_head = mask_head
        if mask_head is not None:
            self.bbox_attention = BoxAttentionMaps(hidden_dim, mask_head.heads)
        self.mask_features = tuple(mask_features)
        self.mask_criterion = mask_criterion or MaskCriterion(num_queries)
        self.inference = inference or Inference()
        self.num_classes = num_classes
        self.num_queries = num_queries
        self.query_groups = query_groups
        self.position_in_content = position_in_content
        self.encoder_loss_weight = encoder_loss_weight
        self.deep_supervision = deep_supervision
        self.metrics_period = metrics_period
        self.input_format = input_format
        # Of the last training batch, images with NaN or infinite predictions: its losses are not finite.
        self.broken_images: list[str] = []
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), persistent=False)
        self.frozen = frozen
        if frozen:
            self.detector().requires_grad_(False).eval()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        backbone = build_backbone(cfg)
        return {"backbone": backbone, **detr_arguments(cfg, backbone.output_shape())}

    def detector(self) -> nn.ModuleDict:
        """Everything but the masks, under the names that it has here."""
        masks = ("bbox_attention", "mask_head")
        return nn.ModuleDict({name: part for name, part in self.named_children() if name not in masks})

    def train(self, mode: bool = True) -> Detr:
        """As PyTorch's, but a frozen detector stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.detector().eval()
        return self

    @property
    def groups(self) -> int:
        """K where the detector is trained, else 1."""
        return self.query_groups if self.transformer.training else 1

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(
        self, batched_inputs: list[dict[str, Any]], normalizers: LossNormalizers | None = None
    ) -> dict[str, Tensor] | list[dict[str, Any]]:
        """Detect, or in training compute the losses.

        Args:
            batched_inputs: Detectron2's dicts: ``image`` (3, H, W) in ``input_format``, 0 to 255;
                in training ``instances`` with ``gt_boxes`` and ``gt_classes``; in inference
                ``height`` and ``width`` of the result, where they differ from the image's.
            normalizers: what the losses are divided by, from :meth:`loss_normalizers`;
                None divides by the counts of this batch.

        Returns:
            in training the weighted losses by name; else for each image ``instances`` (``Instances``) and
            ``panoptic_seg`` (ids (H, W) int32, a list of a dict for each segment), as far as asked for.

        Raises:
            DataError: in training, objects that the model cannot learn from; names the image.
        """
        images = self.preprocess(batched_inputs)
        decoded = self.transform(images)
        logits, boxes = self.predict(decoded.queries)
        predict_masks = None if self.mask_head is None else partial(self.predict_masks, decoded)
        if not self.training:
            return self.inference(logits[-1], boxes[-1], Sizes.of(batched_inputs, images), predict_masks)

        targets = Targets.of_batch(batched_inputs, images, self.num_classes, predict_masks is not None)
        # For the loss a group of queries is like another image with the same objects.
        of_groups = targets.repeated(self.groups)
        logits, boxes = (x.unflatten(2, (-1, self.num_queries)).flatten(1, 2) for x in (logits, boxes))
        if self.frozen or not self.deep_supervision:
            logits, boxes = logits[-1:], boxes[-1:]
        normalizers = normalizers or self.criterion.normalizers(of_groups.counts)
        losses: dict[str, Tensor] = {}
        if self.frozen:
            matches = self.criterion.matcher(logits, boxes, of_groups)
        else:
            losses, matches = self.criterion(logits, boxes, of_groups, normalizers)
            if self.encoder_loss_weight:
                losses.update(self.encoder_losses(decoded, of_groups, normalizers))
        self.broken_images = [
            image_name(batched_inputs[i]) for i in sorted({i // self.groups for i in matches.broken})
        ]
        if predict_masks is not None:
            num_boxes = normalizers.num_boxes / self.groups
            last = (predict_masks, matches, targets, images.tensor.shape[-2:], num_boxes, self.groups)
            losses.update(self.mask_criterion(*last))
        storage = current_event_storage()
        if storage is not None and self.metrics_period and (storage.iter + 1) % self.metrics_period == 0:
            storage.put_scalars(**detection_metrics(logits[-1], of_groups, matches))
        return losses

    def preprocess(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """Normalise, then pad with zeros at the bottom and right to one size, as the backbone asks for."""
        images = [(x["image"].to(self.device) - self.pixel_mean) / self.pixel_std for x in batched_inputs]
        return pad_images(images, self.backbone)

    def predict(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (..., d) → logits (..., C + 1) and normalised (cx, cy, w, h) boxes (..., 4)."""
        # Mixed precision ends here: bfloat16 would move a box by a thousandth of the image.
        with without_autocast(tokens.device):
            tokens = tokens.to(self.class_embed.weight.dtype)
            return self.class_embed(tokens).float(), self.bbox_embed(tokens).float().sigmoid()

    def transform(self, images: ImageList) -> Decoded:
        """From images to queries."""
        pixels = images.tensor.contiguous(memory_format=torch.channels_last)
        features = self.backbone(pixels)
        projected = self.input_proj(features[self.in_feature])  # B x d x h x w
        padding = padding_mask(images.image_sizes, pixels.shape[-2:], self.device)
        if padding is not None:
            padding = resize_padding_mask(padding, projected.shape[-2:])
        nowhere = projected.new_zeros((1, *projected.shape[-2:]), dtype=torch.bool)
        position = self.position_encoding(nowhere if padding is None else padding)
        query_embed = self.query_embed.weight[: self.groups * self.num_queries]
        content = projected + position if self.position_in_content else projected
        queries, memory = self.transformer(content, position, query_embed, padding, self.groups)
        return Decoded(queries, memory, nowhere if padding is None else padding, projected, features)

    def predict_masks(
        self, decoded: Decoded, queries: Sequence[Tensor], chunk: int | None = None
    ) -> Sequence[Tensor]:
        """Masks of some queries of each image.

        Args:
            decoded: of :meth:`transform`.
            queries: (n,) int64 for each image.
            chunk: queries that the mask head takes at a time; None takes all.

        Returns:
            (n, H, W) logits for each image, over the padded batch, at the stride of the finest features.
        """
        assert self.mask_head is not None
        padding = decoded.padding.expand(len(queries), -1, -1)
        images = zip(decoded.queries[-1], queries, decoded.memory, padding, strict=True)
        attention = torch.cat([self.bbox_attention(tokens[n], *image) for tokens, n, *image in images])
        counts = [len(n) for n in queries]
        finer = [decoded.features[name] for name in self.mask_features]
        return self.mask_head(decoded.projected, finer, attention, counts, chunk).split(counts)

    def encoder_losses(
        self, decoded: Decoded, targets: Targets, normalizers: LossNormalizers
    ) -> dict[str, Tensor]:
        """Let the decoder's heads read each object off the encoder's token at its centre.

        The encoded image then holds, where an object is, what the decoder has to find there. Two-stage
        detectors supervise their encoder so; here inference does not use the result. Padding takes no part.

        Args:
            decoded: of :meth:`transform`.
            targets: of the B·K groups.
            normalizers: of the B·K groups; all terms are divided by the number of objects.

        Returns:
            weighted scalars ``loss_ce_encoder``, ``loss_bbox_encoder`` and ``loss_giou_encoder``.
        """
        objects = normalizers.num_boxes / self.groups
        targets = targets.every(self.groups)
        logits, boxes = self.predict(decoded.memory)
        matches, divisors = match_centers(targets, decoded.padding), LossNormalizers(objects, objects)
        padding = decoded.padding.flatten(1)
        losses, _ = self.criterion(logits[None], boxes[None], targets, divisors, matches, padding)
        return {f"{name}_encoder": loss * self.encoder_loss_weight for name, loss in losses.items()}

    def loss_normalizers(self, micro_batches: list[list[dict[str, Any]]]) -> LossNormalizers | None:
        """Divisors for the sum of the losses of several micro-batches, over all processes.

        None where MODEL.DETR.LOSS_NORMALIZATION is "per_process": each batch is its own then.
        """
        if self.criterion.per_process:
            return None
        counts = [len(x["instances"]) for batch in micro_batches for x in batch]
        return self.criterion.normalizers(counts * self.groups)

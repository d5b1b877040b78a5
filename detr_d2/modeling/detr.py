"""DETR as a Detectron2 meta-architecture."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.modeling.backbone import Backbone
from detectron2.structures import ImageList
from torch import Tensor, nn

from .build import detr_arguments
from .criterion import SetCriterion
from .matcher import NonFiniteCost, match_centers
from .metrics import current_event_storage, detection_metrics
from .normalizers import LossNormalizers
from .padding import padding_mask, resize_padding_mask
from .postprocessing import detections
from .targets import Targets
from .transformer import Transformer


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, num_layers: int):
        super().__init__()
        widths = [in_channels] + [hidden_channels] * (num_layers - 1) + [out_channels]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_channels) → (..., out_channels)."""
        *hidden, last = self.layers
        for layer in hidden:
            x = F.relu(layer(x))
        return last(x)


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
        metrics_period: iterations between two writings of training metrics; 0 never writes.
        pixel_mean, pixel_std: of each input channel, in the units of the images (0 to 255).
        input_format: channel order of the images, "RGB" or "BGR"; read by Detectron2's tools.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

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
        self.num_classes = num_classes
        self.num_queries = num_queries
        self.query_groups = query_groups
        self.position_in_content = position_in_content
        self.encoder_loss_weight = encoder_loss_weight
        self.deep_supervision = deep_supervision
        self.metrics_period = metrics_period
        self.input_format = input_format
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {"backbone": build_backbone(cfg), **detr_arguments(cfg)}

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
            in training the weighted losses by name; else for each image ``{"instances": Instances}``.

        Raises:
            FloatingPointError: in training, NaN or infinite predictions; names the images.
            ValueError: in training, a class that the model does not have; names the image.
        """
        images = self.preprocess(batched_inputs)
        queries, memory, padding = self.transform(images)
        logits, boxes = self.predict(queries)
        if not self.training:
            sizes = [
                (x.get("height", size[0]), x.get("width", size[1]))
                for x, size in zip(batched_inputs, images.image_sizes, strict=True)
            ]
            return [{"instances": result} for result in detections(logits[-1], boxes[-1], sizes)]

        # For the loss a group of queries is like another image with the same objects.
        targets = self.targets(batched_inputs).repeated(self.query_groups)
        logits, boxes = (x.unflatten(2, (-1, self.num_queries)).flatten(1, 2) for x in (logits, boxes))
        if not self.deep_supervision:
            logits, boxes = logits[-1:], boxes[-1:]
        normalizers = normalizers or self.criterion.normalizers(targets.counts)
        try:
            losses, matches = self.criterion(logits, boxes, targets, normalizers)
            if self.encoder_loss_weight:
                losses.update(self.encoder_losses(memory, padding, targets, normalizers))
        except NonFiniteCost as error:
            images_of_groups = sorted({i // self.query_groups for i in error.images})
            names = ", ".join(image_name(batched_inputs[i]) for i in images_of_groups)
            raise FloatingPointError(
                f"NaN or infinite predictions for {names}: lower SOLVER.BASE_LR, or look at these images"
            ) from error
        storage = current_event_storage()
        if storage is not None and self.metrics_period and storage.iter % self.metrics_period == 0:
            storage.put_scalars(**detection_metrics(logits[-1], targets, matches))
        return losses

    def preprocess(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """Normalise, then pad with zeros at the bottom and right to the largest height and width."""
        images = [(x["image"].to(self.device) - self.pixel_mean) / self.pixel_std for x in batched_inputs]
        return ImageList.from_tensors(images, self.backbone.size_divisibility)

    def predict(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (..., d) → logits (..., C + 1) and normalised (cx, cy, w, h) boxes (..., 4)."""
        return self.class_embed(tokens).float(), self.bbox_embed(tokens).float().sigmoid()

    def transform(self, images: ImageList) -> tuple[Tensor, Tensor, Tensor]:
        """From images to queries.

        Returns:
            queries (L, B, N, d) after every decoder layer, in training K·N of them, group after group;
            memory (B, h·w, d), the encoded image; padding (B or 1, h, w) bool, True on padding.
        """
        pixels = images.tensor.contiguous(memory_format=torch.channels_last)
        features = self.backbone(pixels)[self.in_feature]  # B x C x h x w
        padding = padding_mask(images.image_sizes, pixels.shape[-2:], self.device)
        if padding is not None:
            padding = resize_padding_mask(padding, features.shape[-2:])
        nowhere = features.new_zeros((1, *features.shape[-2:]), dtype=torch.bool)
        position = self.position_encoding(nowhere if padding is None else padding)
        groups = self.query_groups if self.training else 1
        query_embed = self.query_embed.weight[: groups * self.num_queries]
        projected = self.input_proj(features)  # B x d x h x w
        if self.position_in_content:
            projected = projected + position
        queries, memory = self.transformer(projected, position, query_embed, padding, groups)
        return queries, memory, nowhere if padding is None else padding

    def encoder_losses(
        self, memory: Tensor, padding: Tensor, targets: Targets, normalizers: LossNormalizers
    ) -> dict[str, Tensor]:
        """Let the decoder's heads read each object off the encoder's token at its centre.

        The encoded image then holds, where an object is, what the decoder has to find there. Two-stage
        detectors supervise their encoder so; here inference does not use the result.

        Args:
            memory: (B, h·w, d).
            padding: (B, h, w) bool, True on padding.
            targets: of the B·K groups.
            normalizers: of the B·K groups; all terms are divided by the number of objects.

        Returns:
            weighted scalars ``loss_ce_encoder``, ``loss_bbox_encoder`` and ``loss_giou_encoder``.
        """
        objects = normalizers.num_boxes / self.query_groups
        targets = targets.every(self.query_groups)
        logits, boxes = self.predict(memory)
        losses, _ = self.criterion(
            logits[None],
            boxes[None],
            targets,
            LossNormalizers(objects, objects),
            match_centers(targets, padding),
        )
        return {f"{name}_encoder": loss * self.encoder_loss_weight for name, loss in losses.items()}

    def targets(self, batched_inputs: list[dict[str, Any]]) -> Targets:
        """The padded ground truth of a batch."""
        for x in batched_inputs:
            classes = x["instances"].gt_classes
            if len(classes) and int(classes.max()) >= self.num_classes:
                raise ValueError(
                    f"{image_name(x)} has an object of class {int(classes.max())}, but the model's classes "
                    f"are 0 to {self.num_classes - 1}: set MODEL.DETR.NUM_CLASSES to the data set's number"
                )
        return Targets.from_instances([x["instances"] for x in batched_inputs], self.device)

    def loss_normalizers(self, micro_batches: list[list[dict[str, Any]]]) -> LossNormalizers | None:
        """Divisors for the sum of the losses of several micro-batches, over all processes.

        None where MODEL.DETR.LOSS_NORMALIZATION is "per_process": each batch is its own then.
        """
        if self.criterion.per_process:
            return None
        counts = [len(x["instances"]) for batch in micro_batches for x in batch]
        return self.criterion.normalizers(counts * self.query_groups)


def image_name(batched_input: dict[str, Any]) -> str:
    """How to call an input in a message to the user."""
    return str(batched_input.get("file_name") or batched_input.get("image_id") or "an unnamed image")

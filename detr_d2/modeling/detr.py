"""DETR as a Detectron2 meta-architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.modeling.backbone import Backbone
from detectron2.structures import ImageList
from torch import Tensor, nn

from .auxiliary import Auxiliary
from .build import detr_arguments
from .criterion import SetCriterion
from .fusion import AddedFeatures
from .inference import Inference, Sizes
from .mask_criterion import MaskPredictor
from .metrics import write_metrics
from .normalizers import LossNormalizers
from .preprocessing import Normalize, pad_images, padding_mask, resize_padding_mask
from .queries import LearnedQueries
from .segmentation import BoxAttentionMaps, MaskHead
from .starts import LearnedStart
from .structures import Decoded, Matches, Memory, Part, Prediction, Queries
from .targets import Targets
from .transformer import Transformer


@META_ARCH_REGISTRY.register()
class Detr(nn.Module):
    """Detection transformer (Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020).

    Args:
        backbone: any Detectron2 backbone.
        normalize: brings images to the range that the backbone expects.
        in_feature: name of the backbone's feature map that the transformer reads.
        input_proj: brings its channels to d.
        fuse: what brings other feature maps, by name, to the same channels and cells; they are added.
        position_encoding: maps a padding mask (B, H, W) to (B, d, H, W).
        transformer: encoder and decoder.
        query_embed: object queries, of the kind that the decoder takes.
        start: where they start.
        criterion: the loss in training, which knows the classes.
        auxiliary: more to learn from in training, by name; none where the detector is frozen.
        mask_head: makes masks of queries, and their loss; None makes none.
        inference: what to give in inference.
        frozen: train the mask head alone; all else has no gradient and stays in evaluation mode.
        frozen_parts: names of modules of which the same is true where ``frozen`` is not.
    """

    # Names of the classes, by their numbers; whoever trains or loads the model sets them.
    class_names: Sequence[str] | None = None
    auxiliary: Mapping[str, Auxiliary]
    fuse: Mapping[str, AddedFeatures]
    # Of the last training batch, the images with NaN or infinite predictions: its losses are not finite.
    broken: tuple[int, ...] = ()

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        normalize: Normalize,
        in_feature: str,
        input_proj: nn.Module,
        fuse: Mapping[str, AddedFeatures],
        position_encoding: nn.Module,
        transformer: Transformer,
        query_embed: LearnedQueries,
        start: LearnedStart,
        criterion: SetCriterion,
        auxiliary: Mapping[str, Auxiliary],
        mask_head: MaskHead | None,
        inference: Inference,
        frozen: bool,
        frozen_parts: Sequence[str] = (),
    ):
        super().__init__()
        self.backbone = backbone
        self.normalize = normalize
        self.in_feature = in_feature
        self.position_encoding = position_encoding
        self.transformer = transformer
        self.criterion = criterion
        self.input_proj = input_proj
        self.fuse = nn.ModuleDict(fuse)  # type: ignore[assignment]
        self.query_embed = query_embed
        self.start = start
        channels = query_embed.channels
        self.class_embed = criterion.class_loss.head(channels, criterion.num_classes)
        self.bbox_embed = criterion.box_regression.head(transformer.decoder.box_head, channels)
        self.auxiliary = nn.ModuleDict(auxiliary)  # type: ignore[assignment]
        self.mask_head = mask_head
        if mask_head is not None:
            self.bbox_attention = BoxAttentionMaps(channels, mask_head.heads)
        self.inference = inference
        self.frozen = frozen
        self.frozen_parts = tuple(frozen_parts)
        for part in self._frozen_modules():
            part.requires_grad_(False).eval()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        backbone = build_backbone(cfg)
        return {"backbone": backbone, **detr_arguments(cfg, backbone.output_shape())}

    def detector(self) -> nn.ModuleDict:
        """Everything but the masks, under the names that it has here."""
        masks = ("bbox_attention", "mask_head")
        return nn.ModuleDict({name: part for name, part in self.named_children() if name not in masks})

    def train(self, mode: bool = True) -> Detr:
        """As PyTorch's, but what is frozen stays in evaluation mode."""
        super().train(mode)
        for part in self._frozen_modules():
            part.eval()
        return self

    def _frozen_modules(self) -> list[nn.Module]:
        return [self.detector()] if self.frozen else [self.get_submodule(name) for name in self.frozen_parts]

    def forward(
        self, batched_inputs: list[dict[str, Any]], normalizers: LossNormalizers | None = None
    ) -> dict[str, Tensor] | list[dict[str, Any]]:
        """Detect, or in training compute the losses.

        Args:
            batched_inputs: Detectron2's dicts: ``image`` (3, H, W) in ``INPUT.FORMAT``, 0 to 255;
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
        targets = self.targets(batched_inputs, images) if self.training else None
        memory, predictions, masks = self.decode(images, targets)
        if targets is None:
            logits, boxes = predictions[0].logits[-1], predictions[0].boxes[-1]
            return self.inference(logits, boxes, Sizes.of(batched_inputs, images), masks)
        for auxiliary in self.auxiliary.values():
            predictions += auxiliary.predictions(self.predict, memory, targets)
        return self.losses(predictions, masks, targets, images, normalizers)

    def decode(
        self, images: ImageList, targets: Targets | None
    ) -> tuple[Memory, list[Prediction], MaskPredictor | None]:
        """The encoded images, what the decoder predicts, and what makes masks of it.

        Args:
            images: of :meth:`preprocess`.
            targets: in training, for auxiliary supervision; None leaves that out.
        """
        features = self.backbone(images.tensor)
        memory = self.encode(features, images)
        queries = self.queries(memory, targets)
        decoded = self.transformer.decoder(queries, memory, self.bbox_embed)
        masks = None if self.mask_head is None else partial(self.predict_masks, features, memory, decoded)
        return memory, self.predictions(decoded, queries.parts), masks

    def preprocess(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """Normalize, then pad with zeros at the bottom and right to one size, as the backbone asks for."""
        images = pad_images([self.normalize(x["image"]) for x in batched_inputs], self.backbone)
        images.tensor = images.tensor.contiguous(memory_format=torch.channels_last)
        return images

    def targets(self, batched_inputs: list[dict[str, Any]], images: ImageList) -> Targets:
        """The objects of a batch, with masks where the model makes masks."""
        return Targets.of_batch(
            batched_inputs, images, self.criterion.num_classes, self.mask_head is not None
        )

    def encode(self, features: dict[str, Tensor], images: ImageList) -> Memory:
        """From the backbone's features, (B, C, h, w) by name, to encoded images."""
        projected = self.input_proj(features[self.in_feature])  # B x d x h x w
        shape, device = projected.shape[-2:], projected.device
        for name, added in self.fuse.items():
            projected = projected + added.forward_to(features[name], shape)
        mask = padding_mask(images.image_sizes, images.tensor.shape[-2:], device)
        mask = None if mask is None else resize_padding_mask(mask, shape)
        no_padding = torch.zeros(1, *shape, dtype=torch.bool, device=device)
        position = self.position_encoding(no_padding if mask is None else mask)
        projected, position = (x.flatten(2).transpose(1, 2) for x in (projected, position))  # B x hw x d
        padding = None if mask is None else mask.flatten(1)
        tokens = self.transformer.encoder(projected, position, padding)
        return Memory(tokens, projected, position, padding, (tuple(shape),))

    def queries(self, memory: Memory, targets: Targets | None) -> Queries:
        """The object queries, and in training those of auxiliary supervision after them."""
        queries = self.start(self.query_embed(memory), self.predict, memory)
        if targets is not None:
            for auxiliary in self.auxiliary.values():
                queries = auxiliary.extend(queries, self.query_embed, memory, targets)
        return queries

    def predictions(self, decoded: Decoded, parts: Sequence[Part]) -> list[Prediction]:
        """Classes and boxes after every decoder layer, part by part."""
        logits, boxes = self.predict(decoded.hidden, decoded.reference)
        return [Prediction.of(part, logits, boxes, decoded.reference) for part in parts]

    def predict(self, hidden: Tensor, reference: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens (..., d) → float32 logits (..., K) and normalized (cx, cy, w, h) boxes (..., 4)."""
        return self.class_embed(hidden), self.bbox_embed(hidden, reference).sigmoid()

    def predict_masks(
        self,
        features: dict[str, Tensor],
        memory: Memory,
        decoded: Decoded,
        queries: Sequence[Tensor],
        chunk: int | None = None,
    ) -> Sequence[Tensor]:
        """Masks of some queries of each image.

        Args:
            features: of the backbone.
            memory: of :meth:`encode`.
            decoded: of the decoder; its last layer counts.
            queries: (n,) int64 for each image.
            chunk: queries that the mask head takes at a time; None takes all.

        Returns:
            (n, H, W) logits for each image, over the padded batch, at the stride of the finest features.
        """
        assert self.mask_head is not None
        images = zip(decoded.hidden[-1], queries, memory.tokens, memory.padding_maps(), strict=True)
        attention = torch.cat([self.bbox_attention(hidden[n], *image) for hidden, n, *image in images])
        counts = [len(n) for n in queries]
        finer = [features[name] for name in self.mask_head.in_features]
        return self.mask_head(memory.maps(memory.projected), finer, attention, counts, chunk).split(counts)

    def losses(
        self,
        predictions: Sequence[Prediction],
        masks: MaskPredictor | None,
        targets: Targets,
        images: ImageList,
        normalizers: LossNormalizers | None,
    ) -> dict[str, Tensor]:
        """Weighted losses by name, see :meth:`forward`. Those of a frozen detector are left out."""
        normalizers = normalizers or self.criterion.normalizers(targets.counts)
        losses, matches = self.all_losses(predictions, masks, targets, images, normalizers)
        self.broken = matches.broken
        last, criterion = predictions[0].logits[-1], self.criterion
        write_metrics(criterion.metrics_period, last, targets, matches, criterion.class_loss)
        return losses

    def all_losses(
        self,
        predictions: Sequence[Prediction],
        masks: MaskPredictor | None,
        targets: Targets,
        images: ImageList,
        normalizers: LossNormalizers,
    ) -> tuple[dict[str, Tensor], Matches]:
        """What :meth:`losses` gives, and the matches of the first prediction; writes nothing down."""
        losses, matches = self.criterion(predictions, targets, normalizers)
        if self.frozen:
            losses = {}
        if masks is not None:
            assert self.mask_head is not None
            assert self.mask_head.criterion is not None
            padded = images.tensor.shape[-2:]
            losses |= self.mask_head.criterion(masks, matches, targets, padded, normalizers.num_boxes)
        return losses, matches

    def loss_normalizers(self, micro_batches: list[list[dict[str, Any]]]) -> LossNormalizers | None:
        """Divisors for the sum of the losses of several micro-batches, over all processes.

        None where MODEL.DETR.LOSS_NORMALIZATION is "per_process": each batch is its own then.
        """
        if self.criterion.per_process:
            return None
        return self.criterion.normalizers([len(x["instances"]) for batch in micro_batches for x in batch])

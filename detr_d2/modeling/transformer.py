"""The transformer of DETR (Carion et al., ECCV 2020, figure 10): its encoder, and what its layers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from detectron2.config import CfgNode
from torch import Tensor, nn

from .attention import MultiHeadAttention

if TYPE_CHECKING:
    from .decoders import Decoder


class TransformerLayer(nn.Module):
    """What encoder and decoder layers share: residual branches and the feed-forward network.

    Args:
        channels: d of every token.
        feedforward: hidden channels of the feed-forward network.
        dropout: probability, on each residual branch and inside the feed-forward network.
        pre_norm: normalize the input of each branch instead of its sum with the residual.

    Attributes:
        nonlinearity: of the feed-forward network.
    """

    nonlinearity: ClassVar[type[nn.Module]] = nn.ReLU

    def __init__(self, channels: int, feedforward: int, dropout: float, pre_norm: bool):
        super().__init__()
        self.channels = channels
        self.linear1 = nn.Linear(channels, feedforward)
        self.linear2 = nn.Linear(feedforward, channels)
        self.dropout = nn.Dropout(dropout)
        self.pre_norm = pre_norm
        self.activation = self.nonlinearity()

    def residual(self, x: Tensor, norm: nn.Module, branch: Callable[[Tensor], Tensor]) -> Tensor:
        """x + branch(x), normalized after the sum or, with ``pre_norm``, before the branch."""
        if self.pre_norm:
            return x + self.dropout(branch(norm(x)))
        return norm(x + self.dropout(branch(x)))

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


def layer_arguments(cfg: CfgNode) -> tuple[int, int, int, float, bool]:
    """What a layer is made of: channels, heads, feedforward, dropout and pre_norm, as MODEL.DETR says."""
    detr = cfg.MODEL.DETR
    return detr.HIDDEN_DIM, detr.NHEADS, detr.DIM_FEEDFORWARD, detr.DROPOUT, detr.PRE_NORM


class EncoderLayer(TransformerLayer):
    """Self-attention over the image, then a feed-forward network."""

    def __init__(self, channels: int, heads: int, feedforward: int, dropout: float, pre_norm: bool):
        super().__init__(channels, feedforward, dropout, pre_norm)
        self.self_attn = MultiHeadAttention(channels, heads, dropout)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, position: Tensor, padding: Tensor | None) -> Tensor:
        """tokens (B, S, d), position (B or 1, S, d), padding (B, S) → (B, S, d)."""

        def attend(x: Tensor) -> Tensor:
            located = x + position
            return self.self_attn(located, located, x, padding)

        tokens = self.residual(tokens, self.norm1, attend)
        return self.residual(tokens, self.norm2, self.feed_forward)


class Encoder(nn.Module):
    """A stack of encoder layers; with pre-norm layers it ends in a norm.

    Args:
        layers: there may be none.
        norm: at the end; None for none.
        position_in_content: add the position encoding to the tokens too, not only to queries and keys.

    Attributes:
        layer: the kind of its layers.
    """

    layer: ClassVar[type[EncoderLayer]] = EncoderLayer

    def __init__(self, layers: Sequence[EncoderLayer], norm: nn.Module | None, position_in_content: bool):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm
        self.position_in_content = position_in_content

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Encoder:
        """MODEL.DETR.ENC_LAYERS layers, with MODEL.DETR.POSITION_IN_CONTENT."""
        detr = cfg.MODEL.DETR
        return cls(
            [cls.layer(*layer_arguments(cfg)) for _ in range(detr.ENC_LAYERS)],
            nn.LayerNorm(detr.HIDDEN_DIM) if detr.PRE_NORM else None,
            detr.POSITION_IN_CONTENT,
        )

    def forward(self, tokens: Tensor, position: Tensor, padding: Tensor | None) -> Tensor:
        """tokens (B, S, d), position (B or 1, S, d), padding (B, S) → (B, S, d)."""
        if self.position_in_content:
            tokens = tokens + position
        for layer in self.layers:
            tokens = layer(tokens, self.layer_position(tokens, position), padding)
        return tokens if self.norm is None else self.norm(tokens)

    def layer_position(self, tokens: Tensor, position: Tensor) -> Tensor:
        """What a layer adds to its queries and keys: the position (B or 1, S, d) as it is."""
        return position


class Transformer(nn.Module):
    """Encoder over the images and decoder over the object queries; all matrices start Xavier-uniform.

    Args:
        encoder: (tokens, position, padding) → tokens.
        decoder: one of :data:`~detr_d2.modeling.decoders.DECODERS`.
    """

    def __init__(self, encoder: nn.Module, decoder: Decoder):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

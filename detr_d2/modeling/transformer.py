"""The encoder-decoder transformer of DETR (Carion et al., ECCV 2020, figure 10)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import MultiHeadAttention


class TransformerLayer(nn.Module):
    """What encoder and decoder layers share: residual branches and the feed-forward network.

    Args:
        channels: d of every token.
        feedforward: hidden channels of the feed-forward network.
        dropout: probability, on each residual branch and inside the feed-forward network.
        pre_norm: normalise the input of each branch instead of its sum with the residual.
    """

    def __init__(self, channels: int, feedforward: int, dropout: float, pre_norm: bool):
        super().__init__()
        self.linear1 = nn.Linear(channels, feedforward)
        self.linear2 = nn.Linear(feedforward, channels)
        self.dropout = nn.Dropout(dropout)
        self.pre_norm = pre_norm

    def residual(self, x: Tensor, norm: nn.Module, branch: Callable[[Tensor], Tensor]) -> Tensor:
        """x + branch(x), normalised after the sum or, with ``pre_norm``, before the branch."""
        if self.pre_norm:
            return x + self.dropout(branch(norm(x)))
        return norm(x + self.dropout(branch(x)))

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(F.relu(self.linear1(x))))


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


class DecoderLayer(TransformerLayer):
    """Self-attention among the queries, cross-attention to the image, then a feed-forward network."""

    def __init__(self, channels: int, heads: int, feedforward: int, dropout: float, pre_norm: bool):
        super().__init__(channels, feedforward, dropout, pre_norm)
        self.self_attn = MultiHeadAttention(channels, heads, dropout)
        self.multihead_attn = MultiHeadAttention(channels, heads, dropout)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.norm3 = nn.LayerNorm(channels)

    def forward(
        self,
        x: Tensor,
        query_embed: Tensor,
        memory: Tensor,
        memory_keys: Tensor,
        padding: Tensor | None,
        groups: int = 1,
    ) -> Tensor:
        """Refine the queries.

        Args:
            x: (B, K·N, d), content of the queries so far, group after group.
            query_embed: (K·N, d), their learned position.
            memory: (B, S, d), the encoded image.
            memory_keys: (B, S, d), ``memory`` plus its position encoding.
            padding: (B, S) bool, True on padding, or None.
            groups: K; queries of different groups do not see each other.

        Returns:
            (B, K·N, d).
        """

        def attend_to_queries(x: Tensor) -> Tensor:
            grouped = x.unflatten(1, (groups, -1)).flatten(0, 1)  # B x KN x d -> BK x N x d
            located = (x + query_embed).view_as(grouped)
            return self.self_attn(located, located, grouped).view_as(x)

        def attend_to_image(x: Tensor) -> Tensor:
            return self.multihead_attn(x + query_embed, memory_keys, memory, padding)

        x = self.residual(x, self.norm1, attend_to_queries)
        x = self.residual(x, self.norm2, attend_to_image)
        return self.residual(x, self.norm3, self.feed_forward)


class Encoder(nn.Module):
    """A stack of encoder layers; with pre-norm layers it ends in a norm."""

    def __init__(self, layers: list[EncoderLayer], norm: nn.Module | None):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm

    def forward(self, tokens: Tensor, position: Tensor, padding: Tensor | None) -> Tensor:
        """tokens (B, S, d), position (B or 1, S, d), padding (B, S) → (B, S, d)."""
        for layer in self.layers:
            tokens = layer(tokens, position, padding)
        return tokens if self.norm is None else self.norm(tokens)


class Decoder(nn.Module):
    """A stack of decoder layers; every output goes through the same final norm."""

    def __init__(self, layers: list[DecoderLayer], norm: nn.Module):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm

    def forward(
        self, query_embed: Tensor, memory: Tensor, position: Tensor, padding: Tensor | None, groups: int = 1
    ) -> Tensor:
        """query_embed (K·N, d), memory (B, S, d), position (B or 1, S, d) → (L, B, K·N, d)."""
        memory_keys = memory + position
        x = query_embed.new_zeros(memory.shape[0], *query_embed.shape)
        outputs = []
        for layer in self.layers:
            x = layer(x, query_embed, memory, memory_keys, padding, groups)
            outputs.append(self.norm(x))
        return torch.stack(outputs)


class Transformer(nn.Module):
    """Encoder over the image and decoder over the object queries.

    Args:
        channels: d of every token.
        heads: attention heads.
        encoder_layers, decoder_layers: depth of the two stacks.
        feedforward: hidden channels of the feed-forward networks.
        dropout: probability, see :class:`TransformerLayer` and :class:`MultiHeadAttention`.
        pre_norm: see :class:`TransformerLayer`.
    """

    def __init__(
        self,
        channels: int = 256,
        heads: int = 8,
        encoder_layers: int = 6,
        decoder_layers: int = 6,
        feedforward: int = 2048,
        dropout: float = 0.1,
        pre_norm: bool = False,
    ):
        super().__init__()
        layer = (channels, heads, feedforward, dropout, pre_norm)
        self.encoder = Encoder(
            [EncoderLayer(*layer) for _ in range(encoder_layers)],
            nn.LayerNorm(channels) if pre_norm else None,
        )
        self.decoder = Decoder([DecoderLayer(*layer) for _ in range(decoder_layers)], nn.LayerNorm(channels))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        features: Tensor,
        position: Tensor,
        query_embed: Tensor,
        padding: Tensor | None,
        groups: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """Encode the image, then decode the queries.

        Args:
            features: (B, d, H, W), projected backbone features.
            position: (B or 1, d, H, W), their position encoding.
            query_embed: (K·N, d), learned object queries, group after group.
            padding: (B, H, W) bool, True on padding, or None.
            groups: K, see :class:`DecoderLayer`.

        Returns:
            queries (L, B, K·N, d) after each decoder layer, and memory (B, H·W, d), the encoded image.
        """
        tokens = features.flatten(2).transpose(1, 2)  # B x d x H x W -> B x HW x d
        position = position.flatten(2).transpose(1, 2)
        padding = None if padding is None else padding.flatten(1)
        memory = self.encoder(tokens, position, padding)
        return self.decoder(query_embed, memory, position, padding, groups), memory

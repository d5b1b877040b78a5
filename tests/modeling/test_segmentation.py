import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from detr_d2.modeling.segmentation import BoxAttentionMaps, MaskHead


def test_attention_maps_equal_the_plain_loop() -> None:
    maps = BoxAttentionMaps(channels=8, heads=2)
    queries, memory = torch.randn(3, 8), torch.randn(6, 8)
    padding = torch.tensor([[False, False, True], [False, True, True]])
    result = maps(queries, memory, padding)
    assert result.shape == (3, 2, 2, 3)
    q, k = maps.q_linear(queries).detach(), maps.k_linear(memory).detach()
    for i in range(3):
        weights = {}
        for head, cell in itertools.product(range(2), range(6)):
            channels = slice(4 * head, 4 * head + 4)
            if not padding.flatten()[cell]:
                weights[head, cell] = math.exp(float(q[i, channels] @ k[cell, channels]) / math.sqrt(4))
        total = sum(weights.values())  # one softmax over both heads
        for head, cell in itertools.product(range(2), range(6)):
            expected = weights.get((head, cell), 0.0) / total
            assert result[i, head, cell // 3, cell % 3].item() == pytest.approx(expected, abs=1e-6)


def named(channels: list[int]) -> dict[str, int]:
    return {f"stage {i}": count for i, count in enumerate(channels)}


def plain(head: MaskHead, projected: Tensor, finer: list[Tensor], attention: Tensor) -> Tensor:
    """The head on one query (heads, h, w) of one image, with everything repeated and joined."""
    state = head.state_dict()

    def layer(number: int, x: Tensor) -> Tensor:
        x = F.conv2d(x, state[f"lay{number}.weight"], state[f"lay{number}.bias"], padding=1)
        return F.relu(F.group_norm(x, 8, state[f"gn{number}.weight"], state[f"gn{number}.bias"]))

    x = layer(2, layer(1, torch.cat([projected, attention])[None]))
    for i, feature in enumerate(finer, start=1):
        adapted = F.conv2d(feature[None], state[f"adapter{i}.weight"], state[f"adapter{i}.bias"])
        rows = torch.arange(adapted.shape[2]) * x.shape[2] // adapted.shape[2]
        columns = torch.arange(adapted.shape[3]) * x.shape[3] // adapted.shape[3]
        x = layer(i + 2, adapted + x[:, :, rows[:, None], columns])
    return F.conv2d(x, state["out_lay.weight"], state["out_lay.bias"], padding=1)[0, 0]


@pytest.mark.parametrize("stages", [0, 1, 2, 3])
@pytest.mark.parametrize("counts", [(3,), (2, 0, 4), (0, 1, 0)], ids=str)
def test_the_head_equals_itself_on_one_joined_query_after_the_other(
    stages: int, counts: tuple[int, ...]
) -> None:
    channels = [7, 5, 3][:stages]
    head = MaskHead(128, 8, named(channels))
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    sizes = [(5, 7), (9, 14), (17, 27)]  # not twice the one before, as images of any size give
    projected = torch.randn(len(counts), 128, 3, 4)
    finer = [torch.randn(len(counts), c, *size) for c, size in zip(channels, sizes, strict=False)]
    attention = torch.rand(sum(counts), 8, 3, 4)
    owner = [image for image, count in enumerate(counts) for _ in range(count)]
    expected = torch.stack(
        [
            plain(head, projected[image], [x[image] for x in finer], maps)
            for image, maps in zip(owner, attention, strict=True)
        ]
    )
    for chunk in (None, 1, 2, 100):
        result = head(projected, finer, attention, counts, chunk)
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


def test_the_head_gives_every_part_the_gradient_of_the_joined_convolution() -> None:
    head = MaskHead(32, 8, named([5]))
    projected, finer = torch.randn(2, 32, 3, 4, requires_grad=True), torch.randn(2, 5, 6, 8)
    attention = torch.rand(3, 8, 3, 4, requires_grad=True)
    inputs = [projected, attention, *head.parameters()]
    weight = torch.randn(3, 6, 8)
    result = torch.autograd.grad((head(projected, [finer], attention, (1, 2)) * weight).sum(), inputs)

    joined = torch.cat([projected[[0, 1, 1]], attention], dim=1)
    x = F.relu(head.gn2(head.lay2(F.relu(head.gn1(head.lay1(joined))))))
    x = head.adapter1(finer)[[0, 1, 1]] + F.interpolate(x, scale_factor=2)
    masks = head.out_lay(F.relu(head.gn3(head.lay3(x))))[:, 0]
    expected = torch.autograd.grad((masks * weight).sum(), inputs)
    for a, b in zip(result, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_no_queries_give_no_masks_of_the_right_size() -> None:
    head = MaskHead(64, 8, named([5, 3]))
    finer = [torch.randn(2, 5, 6, 8), torch.randn(2, 3, 12, 16)]
    masks = head(torch.randn(2, 64, 3, 4), finer, torch.zeros(0, 8, 3, 4), (0, 0), chunk=4)
    assert masks.shape == (0, 12, 16)


def test_names_and_widths_are_the_published_ones() -> None:
    head = MaskHead(256, 8, named([1024, 512, 256]))
    shapes = {name: tuple(x.shape) for name, x in head.state_dict().items() if name.endswith("weight")}
    assert shapes == {
        "lay1.weight": (264, 264, 3, 3),
        "lay2.weight": (128, 264, 3, 3),
        "lay3.weight": (64, 128, 3, 3),
        "lay4.weight": (32, 64, 3, 3),
        "lay5.weight": (16, 32, 3, 3),
        "out_lay.weight": (1, 16, 3, 3),
        "gn1.weight": (264,),
        "gn2.weight": (128,),
        "gn3.weight": (64,),
        "gn4.weight": (32,),
        "gn5.weight": (16,),
        "adapter1.weight": (128, 1024, 1, 1),
        "adapter2.weight": (64, 512, 1, 1),
        "adapter3.weight": (32, 256, 1, 1),
    }


def test_initialization_is_the_published_one() -> None:
    """Kaiming uniform with slope 1: bounds of √(3 / fan_in); biases of zero."""
    head = MaskHead(256, 8, named([1024, 512, 256]))
    for name, fan_in in (("lay1", 264 * 9), ("lay5", 32 * 9), ("adapter2", 512)):
        convolution = head.get_submodule(name)
        bound = math.sqrt(3 / fan_in)
        assert 0.98 * bound < convolution.weight.abs().max().item() <= bound
        assert not convolution.bias.any()
    maps = BoxAttentionMaps(256, 8)
    bound = math.sqrt(6 / 512)  # Xavier uniform
    assert 0.98 * bound < maps.q_linear.weight.abs().max().item() <= bound
    assert not maps.q_linear.bias.any()
    assert not maps.k_linear.bias.any()


@pytest.mark.parametrize(
    ("channels", "heads", "stages"), [(64, 8, 3), (192, 8, 3), (128, 4, 2)], ids=["narrow", "odd", "heads"]
)
def test_channels_that_groups_cannot_divide_are_refused(channels: int, heads: int, stages: int) -> None:
    with pytest.raises(
        ValueError, match=rf"MODEL.DETR.HIDDEN_DIM is {channels}, .*MASK_FEATURES of {stages}"
    ):
        MaskHead(channels, heads, named([8] * stages))

"""Class heads of other programs are never shifted or renamed without a sentence, and read as users say."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.config import CfgNode
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from detectron2.modeling import build_model
from torch import Tensor, nn

from detr_d2.checkpoint import DetrCheckpointer, zoo
from detr_d2.checkpoint.convert import from_detr_d2
from detr_d2.checkpoint.download import RemoteFile
from detr_d2.errors import UserError

from ..conftest import make_tiny_config

COCO_IDS = [category["id"] for category in COCO_CATEGORIES if category["isthing"]]
COCO_NAMES = [category["name"] for category in COCO_CATEGORIES if category["isthing"]]
KEY = "MODEL.DETR.CLASS_ROWS"


def config(classes: int) -> CfgNode:
    cfg = make_tiny_config()
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    cfg.MODEL.DETR.NUM_CLASSES = classes
    return cfg


def save(path: Path, rows: int, layout: str = "published") -> str:
    """A file of another program's; the bias of row i of its class head is i."""
    weights: dict[str, Tensor] = dict(build_model(config(rows - 1)).state_dict())
    weights["class_embed.bias"] = torch.arange(float(rows))
    torch.save({"model": from_detr_d2(weights, layout, rule="as_is").weights}, path)
    return str(path)


def load(path: str, classes: int, caplog: pytest.LogCaptureFixture, **options: Any) -> tuple[nn.Module, str]:
    """A model of so many classes with the file's weights, and what was said."""
    model = build_model(config(classes))
    with torch.no_grad():
        model.class_embed.bias.fill_(-1)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        DetrCheckpointer(model, **options).load(path)
    return model, " ".join(record.getMessage() for record in caplog.records)


def numbers(*ids: int) -> dict[int, int]:
    return {category: number for number, category in enumerate(ids)}


def test_a_head_that_nobody_knows_is_new_and_the_key_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for rows, classes in ((5, 3), (92, 80), (92, 3), (251, 133)):
        model, said = load(save(tmp_path / "x.pth", rows), classes, caplog)
        assert model.class_embed.bias.unique().tolist() == [-1]
        assert KEY in said
        assert f"{rows} rows" in said


def test_own_ids_are_never_shifted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The published code's head for ids 1 to 3 has five rows: of 0, 1, 2 and 3, and no-object."""
    path = save(tmp_path / "x.pth", 5)
    ids = {"category_ids": lambda: numbers(1, 2, 3)}
    model, said = load(path, 3, caplog, **ids, class_rows="category_ids")
    assert model.class_embed.bias.tolist() == [1, 2, 3, 4]
    assert "category ids 1, 2, 3" in said
    assert "left out are the rows 0." in said
    # A model that has been given the number of the file's rows: both readings are possible, and differ.
    before = build_model(config(4))
    bias = before.class_embed.bias.detach().clone()
    with pytest.raises(UserError, match=rf"x\.pth.*5 rows.*1, 2, 3.*{KEY}"):
        DetrCheckpointer(before, **ids).load(path)
    assert torch.equal(before.class_embed.bias, bias)
    model, _ = load(path, 4, caplog, **ids, class_rows="as_is")
    assert model.class_embed.bias.tolist() == [0, 1, 2, 3, 4]
    model, said = load(path, 4, caplog, **ids, class_rows="category_ids")
    assert model.class_embed.bias.tolist() == [1, 2, 3, -1, 4]
    assert "the other 1 are new" in said


@pytest.mark.parametrize(
    ("rows", "ids"),
    [(4, (0, 1, 2)), (4, (1, 2, 3)), (92, tuple(range(1, 92)))],
    ids=["both readings agree", "ids have no rows", "91 classes"],
)
def test_rows_that_can_be_read_in_one_way_alone_are_kept(
    tmp_path: Path, rows: int, ids: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    path = save(tmp_path / "x.pth", rows)
    model, said = load(path, rows - 1, caplog, category_ids=lambda: numbers(*ids))
    assert model.class_embed.bias.tolist() == list(range(rows))
    assert KEY not in said


def test_as_many_rows_as_the_model_has_are_kept_with_a_sentence_where_the_ids_are_unknown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The published code's default is 91 classes, whatever the data set."""
    model, said = load(save(tmp_path / "x.pth", 92), 91, caplog)
    assert model.class_embed.bias.tolist() == list(range(92))
    assert KEY in said


@pytest.mark.parametrize(
    "known",
    [
        {"class_rows": "coco"},
        {"metadata": lambda: {"thing_classes": COCO_NAMES}},
        {"category_ids": lambda: numbers(*COCO_IDS)},
    ],
    ids=["the user says so", "names", "ids"],
)
def test_a_head_is_cocos_where_that_is_known_and_the_rows_left_out_are_listed(
    tmp_path: Path, known: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    model, said = load(save(tmp_path / "x.pth", 92), 80, caplog, **known)
    assert model.class_embed.bias.tolist() == [*COCO_IDS, 91]
    unused = sorted(set(range(91)) - set(COCO_IDS))
    assert ", ".join(map(str, unused)) in said


def test_a_published_file_is_known_by_its_hash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "copy.pth", 92)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    entry = zoo.zoo_models()[0]
    published = zoo.ZooModel(**{**vars(entry), "file": RemoteFile(entry.file.url, digest[:8])})
    monkeypatch.setattr(zoo, "zoo_models", lambda: (published,))
    model, _ = load(path, 80, caplog)
    assert model.class_embed.bias.tolist() == [*COCO_IDS, 91]
    # For a data set of other classes those of the same name are taken over.
    names = {"thing_classes": ["lorry", "Car", "person"]}
    model, said = load(path, 3, caplog, metadata=lambda: names)
    assert model.class_embed.bias.tolist() == [-1, 3, 1, 91]
    assert "new are lorry" in said


@pytest.mark.parametrize(
    ("rule", "rows", "ids", "said"),
    [
        ("coco", 5, (), "92 or 251 rows, and the file's has 5"),
        ("category_ids", 5, (), "not known"),
        ("category_ids", 5, (1, 2, 9), "from 1 to 9"),
        ("contiguous", 5, (), "one of auto, as_is, category_ids, coco"),
    ],
)
def test_a_rule_that_does_not_suit_the_file_is_refused(
    tmp_path: Path, rule: str, rows: int, ids: tuple[int, ...], said: str
) -> None:
    path = save(tmp_path / "x.pth", rows)
    model = build_model(config(3))
    with pytest.raises(UserError, match=said) as error:
        DetrCheckpointer(model, class_rows=rule, category_ids=lambda: numbers(*ids)).load(path)
    assert KEY in str(error.value)


def test_the_rule_is_for_other_programs_files_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Our own have no gaps: the key may stay in a config whose results are evaluated later."""
    ids = {"class_rows": "category_ids", "category_ids": lambda: numbers(1, 2, 3)}
    model, _ = load(save(tmp_path / "x.pth", 5), 3, caplog, **ids)
    DetrCheckpointer(model, str(tmp_path)).save_weights("ours")
    again, _ = load(str(tmp_path / "ours.pth"), 3, caplog, **ids)
    assert again.class_embed.bias.tolist() == [1, 2, 3, 4]


def save_pretrained(folder: Path, rows: int, labels: list[str]) -> str:
    """A folder as Hugging Face's save_pretrained writes it."""
    folder.mkdir()
    save(folder / "whole.pth", rows, "huggingface")
    weights = torch.load(folder / "whole.pth")["model"]
    (folder / "whole.pth").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    id2label = {str(number): label for number, label in enumerate(labels)}
    (folder / "config.json").write_text(json.dumps({"model_type": "detr", "id2label": id2label}))
    return str(folder)


def test_names_in_a_config_json_tell_which_row_is_which(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = save_pretrained(tmp_path / "own", 4, ["b", "c", "a"])
    model, _ = load(path, 3, caplog, metadata=lambda: {"thing_classes": ["a", "b", "c"]})
    assert model.class_embed.bias.tolist() == [2, 0, 1, 3]
    coco = ["N/A"] * 91
    for category, name in zip(COCO_IDS, COCO_NAMES, strict=True):
        coco[category] = name
    model, _ = load(save_pretrained(tmp_path / "coco", 92, coco), 80, caplog)
    assert model.class_embed.bias.tolist() == [*COCO_IDS, 91]
    made_up = [f"LABEL_{number}" for number in range(91)]
    _, said = load(save_pretrained(tmp_path / "made_up", 92, made_up), 80, caplog)
    assert KEY in said

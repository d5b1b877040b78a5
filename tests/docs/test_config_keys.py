"""The table of config keys."""

from pathlib import Path
from typing import Any

import pytest
from detectron2.config import CfgNode, get_cfg

from detr_d2 import add_detr_config
from docs.generate import config_keys
from docs.generate.config_keys import read_config_keys, tables_of

PAGE = Path(__file__).parents[2] / "docs" / "config.md"

SOURCE = '''
def add(cfg):
    """Keys."""
    part = cfg.MODEL.PART
    cfg.MODEL.PART = CN()

    # A heading

    # What ONE does,
    # on two lines.
    part.ONE = 1
    local = 3
    # Pipes | and <tags>.
    part.SUB.TWO = ("a", 2.5)  # not this comment


def more(cfg):
    # No heading here.
    cfg.THREE = "text # not a comment"
'''


def flatten(cfg: CfgNode, prefix: str = "") -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for name, value in cfg.items():
        if isinstance(value, CfgNode):
            keys.update(flatten(value, f"{prefix}{name}."))
        else:
            keys[prefix + name] = value
    return keys


def our_keys() -> dict[str, Any]:
    keys = config_keys.our_keys()
    assert len({key.name for key in keys}) == len(keys)
    return {key.name: key.default for key in keys}


def test_names_defaults_comments_and_headings_are_read() -> None:
    keys = read_config_keys(SOURCE)
    assert [(key.name, key.default, key.description, key.section) for key in keys] == [
        ("MODEL.PART.ONE", 1, "What ONE does, on two lines.", "A heading"),
        ("MODEL.PART.SUB.TWO", ("a", 2.5), "Pipes | and <tags>.", "A heading"),
        ("THREE", "text # not a comment", "No heading here.", ""),
    ]


def test_a_row_holds_key_default_and_escaped_text() -> None:
    stock = CfgNode({"THREE": 0})
    rows = tables_of(read_config_keys(SOURCE), stock).splitlines()
    assert "| `MODEL.PART.ONE` | `1` | What ONE does, on two lines. |" in rows
    assert '| `MODEL.PART.SUB.TWO` | `["a", 2.5]` | Pipes \\| and \\<tags\\>. |' in rows
    assert any(row.startswith("| `THREE` * | ") for row in rows)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    cfg.A = 1", "line 2: A has no comment"),
        ("    # Too far away.\n\n    cfg.A = 1", "line 4: A has no comment"),
        ("    # Text.\n    cfg.A = 1 + len('x')", "line 3: A has a default that is not a literal"),
        ("    # Text.\n    cfg.A = 1\n    # Text.\n    cfg.A = 2", "line 5: A is set a second time"),
    ],
)
def test_keys_that_cannot_be_explained_are_errors(body: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_config_keys(f"def add(cfg):\n{body}\n")


def test_every_key_that_is_added_is_in_the_table_with_its_default() -> None:
    stock, ours = flatten(get_cfg()), get_cfg()
    add_detr_config(ours)
    values, table = flatten(ours), our_keys()
    changed = {name for name, value in values.items() if name not in stock or stock[name] != value}
    assert changed <= table.keys()
    assert {name: values[name] for name in table} == table
    assert len(table) > 30


def test_every_key_has_one_row_in_its_page() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    for name in our_keys():
        assert sum(row.startswith(f"| `{name}` ") for row in rows) == 1, name

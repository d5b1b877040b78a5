"""The table of the config keys, made from the files of ``detr_d2/config/``.

The comment directly above an assignment says what the key does. A comment with an empty line below it
is the heading of the keys that follow.
"""

import ast
import io
import itertools
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode, get_cfg

from detr_d2.config import data, model, training
from detr_d2.errors import UserError

from .markers import markdown_table


@dataclass(frozen=True)
class ConfigKey:
    """One row of the table.

    Attributes:
        name: full name, such as ``MODEL.DETR.NHEADS``.
        default: the value that is assigned.
        description: the comment above the assignment, on one line.
        section: the last heading above the assignment, "" if there is none.
    """

    name: str
    default: Any
    description: str
    section: str


def read_config_keys(source: str, file_name: str = "config.py") -> list[ConfigKey]:
    """Find the keys that functions set on their first parameter, in the order of the file.

    Names for a part of the config (``detr = cfg.MODEL.DETR``) are followed; new nodes
    (``cfg.MODEL.DETR = CfgNode()``) are no keys.

    Args:
        source: Python code.
        file_name: named in errors.

    Raises:
        UserError: a key has no comment, or a default that is not a literal, or is set twice; the line
            is named.
    """
    lines = source.splitlines()
    comments = _comments(source)
    headings = {
        line: text
        for line, text in _blocks(comments)
        if line < len(lines) and not lines[line].strip()  # lines[line] is the line below
    }
    keys: list[ConfigKey] = []
    for function in ast.parse(source).body:
        if not isinstance(function, ast.FunctionDef) or not function.args.args:
            continue
        paths: dict[str, str] = {function.args.args[0].arg: ""}
        for statement in function.body:
            for target, value in _assignments(statement):
                if isinstance(target, ast.Name):
                    alias = _path(value, paths)
                    if alias is not None:
                        paths[target.id] = alias
                    continue
                name = _path(target, paths)
                if name is None or _is_node(value):
                    continue
                where = f"{file_name}, line {statement.lineno}: {name}"
                try:
                    default = ast.literal_eval(value)
                except ValueError as error:
                    raise UserError(
                        f"{where} has a default that is not a literal: write the value"
                    ) from error
                if any(key.name == name for key in keys):
                    raise UserError(f"{where} is set a second time: remove one of the two")
                description = _comment_above(statement.lineno, comments)
                if not description:
                    raise UserError(f"{where} has no comment: say in the line above what it does")
                above = [line for line in headings if function.lineno < line < statement.lineno]
                section = headings[max(above)] if above else ""
                keys.append(ConfigKey(name, default, description, section))
    return keys


def _comments(source: str) -> dict[int, str]:
    """Return the text of every line that is only a comment, by line number."""
    return {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
    }


def _blocks(comments: dict[int, str]) -> Iterator[tuple[int, str]]:
    """Yield (last line, text) of each run of comment lines."""
    for line in comments:
        if line + 1 not in comments:
            yield line, _comment_above(line + 1, comments)


def _comment_above(line: int, comments: dict[int, str]) -> str:
    """Return the run of comment lines that ends directly above ``line``, joined with spaces."""
    texts: list[str] = []
    while line - 1 in comments:
        line -= 1
        texts.insert(0, comments[line])
    return " ".join(texts)


def _assignments(statement: ast.stmt) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            yield target, statement.value
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        yield statement.target, statement.value


def _path(expression: ast.expr, paths: dict[str, str]) -> str | None:
    """Return the dotted name below the config that ``cfg.A.B`` stands for, or None."""
    if isinstance(expression, ast.Name):
        return paths.get(expression.id)
    if isinstance(expression, ast.Attribute):
        parent = _path(expression.value, paths)
        if parent is not None:
            return f"{parent}.{expression.attr}" if parent else expression.attr
    return None


def _is_node(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Call) and ast.unparse(expression.func).endswith(("CfgNode", "CN"))


def tables_of(keys: Sequence[ConfigKey], stock: CfgNode) -> str:
    """Return the keys as Markdown, one table for each section.

    Args:
        keys: what :func:`read_config_keys` returns.
        stock: Detectron2's own config; keys that it has too are marked.
    """
    parts: list[str] = []
    for section, group in itertools.groupby(keys, key=lambda key: key.section):
        if section:
            parts.append(f"**{section}**")
        rows = [
            (
                f"`{key.name}`" + (" *" if _has_key(stock, key.name) else ""),
                f"`{_yaml(key.default)}`",
                _escape(key.description),
            )
            for key in group
        ]
        parts.append(markdown_table(("Key", "Default", "What it does"), rows))
    if any(_has_key(stock, key.name) for key in keys):
        parts.append("\\* a key of Detectron2's own, to which detr_d2 gives this default.")
    return "\n\n".join(parts)


def _has_key(cfg: CfgNode, name: str) -> bool:
    node: Any = cfg
    for part in name.split("."):
        if not isinstance(node, CfgNode) or part not in node:
            return False
        node = node[part]
    return True


def _yaml(value: Any) -> str:
    """Write a default as one would in a YAML file or on the command line."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_yaml(element) for element in value) + "]"
    return str(value)


def _escape(text: str) -> str:
    """Keep Markdown from reading a description's characters as its own."""
    for character in "\\|*_<>":
        text = text.replace(character, "\\" + character)
    return text


def our_keys() -> list[ConfigKey]:
    """The keys that ``detr_d2.config`` adds, those of the model first.

    Raises:
        UserError: one has no comment, or is set twice.
    """
    keys: list[ConfigKey] = []
    for module in (model, data, training):
        file = Path(str(module.__file__))
        keys += read_config_keys(file.read_text(encoding="utf-8"), str(file))
    return keys


def config_table() -> str:
    """Return the table of detr_d2's keys, in Markdown.

    Raises:
        UserError: as :func:`our_keys`.
    """
    return tables_of(our_keys(), get_cfg())

"""From YAML files and KEY VALUE pairs to a config; nothing that is written there is run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.utils.file_io import PathManager
from fvcore.common.config import BASE_KEY

from .config import add_detr_config
from .detectron2_keys import refuse_unsupported_keys
from .errors import ConfigError, MissingFileError, named


def read_config(config_file: str = "", opts: Sequence[str] = ()) -> CfgNode:
    """Detectron2's and detr_d2's defaults, then a file, then KEY VALUE pairs.

    Args:
        config_file: YAML, which may name others by ``_BASE_``; "" for none. Only plain YAML is read: tags
            that make Python objects, which Detectron2 allows, are errors.
        opts: keys and values in turn.

    Raises:
        MissingFileError: there is no such file.
        ConfigError: a file is no plain YAML (names line and column); or a key does not exist, has a value of
            another type, or asks for what detr_d2 does not do.
    """
    cfg = get_cfg()
    add_detr_config(cfg)
    if config_file:
        _check_yaml(config_file, "--config-file", cfg, ())
        with _config_errors(config_file):
            cfg.merge_from_file(config_file, allow_unsafe=False)
    flag = next((word for word in opts if word.startswith("--")), None)
    if flag is not None:
        raise ConfigError(
            f"command line: {flag} stands after KEY VALUE pairs: put it before the first of them"
        )
    with _config_errors("command line"):
        cfg.merge_from_list(list(opts))
    refuse_unsupported_keys(cfg)
    return cfg


def _check_yaml(file: str, what: str, defaults: CfgNode, inner: tuple[str, ...]) -> None:
    """Refuse a file that is not there, or is no plain YAML of keys, and likewise those that it builds on.

    Args:
        file: path or URI.
        what: how it was named.
        defaults: have all sections.
        inner: files that build on it.
    """
    if file in inner:
        raise ConfigError(f"{file}: {BASE_KEY} leads back to the file itself, by {' <- '.join(inner)}")
    with named(f"{what} {file}"):
        if "://" not in file and not os.path.isfile(file):
            raise MissingFileError(f"{what} {file} does not exist")
        with PathManager.open(file, "r") as stream, _yaml_errors(file):
            content = yaml.safe_load(stream)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{file} holds no keys with values, but {_kind(content)}")
    _check_sections(content, defaults, file)
    bases = content.get(BASE_KEY, [])
    for base in [bases] if isinstance(bases, str) else bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str):
            raise ConfigError(f"{file}: {BASE_KEY} is {base!r}, but must be the name of a file")
        path = os.path.expanduser(base)
        if not path.startswith(("/", "https://", "http://")):
            path = os.path.join(os.path.dirname(file), path)
        _check_yaml(path, f"{file}: {BASE_KEY}", defaults, (*inner, file))


def _check_sections(content: dict[str, Any], defaults: CfgNode, file: str, prefix: str = "") -> None:
    """Refuse a value where a section of keys belongs."""
    for key, value in content.items():
        section = defaults.get(key)
        if not isinstance(section, CfgNode):
            continue
        if not isinstance(value, dict):
            raise ConfigError(f"{file}: {prefix}{key} is {value!r}, but must be a section of keys")
        _check_sections(value, section, file, f"{prefix}{key}.")


def _kind(content: Any) -> str:
    if content is None:
        return "nothing"
    return "keys that are no text" if isinstance(content, dict) else f"a {type(content).__name__}"


@contextmanager
def _yaml_errors(file: str) -> Iterator[None]:
    """Say what is no plain YAML, with line and column."""
    try:
        yield
    except yaml.constructor.ConstructorError as error:
        raise ConfigError(
            f"{file}{_place(error)}: {error.problem}. Configs are read as plain YAML: write the value itself"
        ) from error
    except yaml.MarkedYAMLError as error:
        text = ", ".join(str(part) for part in (error.context, error.problem) if part)
        raise ConfigError(f"{file}{_place(error)}: {text}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # characters, dates, depth
        raise ConfigError(f"{file}: {_one_line(error)}") from error


def _place(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"


@contextmanager
def _config_errors(where: str) -> Iterator[None]:
    """Say what yacs does not accept, and where."""
    try:
        yield
    except (
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        AssertionError,
        RecursionError,
        MemoryError,
    ) as error:
        # KeyError's own text is the repr of its message.
        raise ConfigError(f"{where}: {_one_line(error.args[0] if error.args else error)}") from error


def _one_line(text: object) -> str:
    return " ".join(str(text).split()) or type(text).__name__

"""From YAML files and KEY VALUE pairs to a config; nothing that is written there is run."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.utils.file_io import PathManager
from fvcore.common.config import BASE_KEY

from .config import add_detr_config
from .detectron2_keys import leaves, refuse_unsupported_keys
from .errors import ConfigError, MissingFileError, named
from .paths import config_names, configs_folder

# What yacs raises for a key or value that it does not accept.
_UNFIT = (LookupError, ValueError, TypeError, AttributeError, AssertionError, RecursionError, MemoryError)


def read_config(config_file: str = "", opts: Sequence[str] = ()) -> CfgNode:
    """Detectron2's and detr_d2's defaults, then a file, then KEY VALUE pairs.

    Args:
        config_file: YAML, which may name others by ``_BASE_``; "" for none. A name such as
            "COCO-Detection/detr_R_50.yaml" is that of a config that comes with detr_d2. Only plain YAML is
            read: tags that make Python objects, which Detectron2 allows, are errors.
        opts: keys and values in turn.

    Raises:
        MissingFileError: there is no such file.
        ConfigError: a file is no plain YAML (names line and column); or a key does not exist, has a value of
            another type, or asks for what detr_d2 does not do.
    """
    cfg = get_cfg()
    add_detr_config(cfg)
    if config_file:
        config_file = find_config(config_file)
        keys = _check_yaml(config_file, "--config-file", cfg, ())
        with _merging(config_file, keys, cfg):
            cfg.merge_from_file(config_file, allow_unsafe=False)
    flag = next((word for word in opts if word.startswith("--")), None)
    if flag is not None:
        raise ConfigError(
            f"command line: {flag} stands after KEY VALUE pairs: put it before the first of them"
        )
    with _merging("command line", opts[::2], cfg):
        cfg.merge_from_list(list(opts))
    refuse_unsupported_keys(cfg)
    return cfg


def find_config(config_file: str) -> str:
    """The path of a config: what is named itself, else the one of this name that comes with detr_d2.

    Args:
        config_file: path, URI or name.

    Raises:
        MissingFileError: there is neither; names configs of like names.
    """
    if "://" in config_file or os.path.exists(config_file):
        return config_file
    names = config_names()
    if config_file in names:
        return os.fspath(configs_folder() / config_file)
    near = difflib.get_close_matches(config_file, names, n=3, cutoff=0.7)
    hint = f"; did you mean {', '.join(near)}, which come with detr_d2?" if near else ""
    raise MissingFileError(f"--config-file {config_file} does not exist{hint}")


@contextmanager
def _merging(what: str, keys: Sequence[str], cfg: CfgNode) -> Iterator[None]:
    """Say of ``what`` it was that yacs refuses a key or value, with the keys that are like unknown ones."""
    known = [key for key, _ in leaves(cfg)]
    try:
        with named(what, _UNFIT, ConfigError):
            yield
    except ConfigError as error:
        unknown = (key for key in keys if key not in known)
        near = [like for key in unknown for like in difflib.get_close_matches(key, known, n=2, cutoff=0.75)]
        if not near:
            raise
        raise ConfigError(f"{error}; did you mean {' or '.join(near)}?") from error


def _check_yaml(file: str, what: str, defaults: CfgNode, inner: tuple[str, ...]) -> list[str]:
    """Refuse a file that is not there, or is no plain YAML of keys, and likewise those that it builds on.

    Args:
        file: path or URI.
        what: how it was named.
        defaults: have all sections.
        inner: files that build on it.

    Returns:
        The keys of all of them.
    """
    if file in inner:
        raise ConfigError(f"{file}: {BASE_KEY} leads back to the file itself, by {' <- '.join(inner)}")
    with named(f"{what} {file}"):
        if "://" not in file and not os.path.isfile(file):
            raise MissingFileError(f"{what} {file} does not exist")
        with PathManager.open(file, "r") as stream, _yaml_errors(file):
            content = yaml.safe_load(stream)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        kinds = {type(None): "nothing", dict: "keys that are no text"}
        kind = kinds.get(type(content), f"a {type(content).__name__}")
        raise ConfigError(f"{file} holds no keys with values, but {kind}")
    _check_sections(content, defaults, file)
    bases = content.pop(BASE_KEY, [])
    keys = [key for key, _ in leaves(content)]
    for base in bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str):
            raise ConfigError(f"{file}: {BASE_KEY} is {base!r}, but must be the name of a file")
        path = os.path.expanduser(base)
        if not path.startswith(("/", "https://", "http://")):
            path = os.path.join(os.path.dirname(file), path)
        keys += _check_yaml(path, f"{file}: {BASE_KEY}", defaults, (*inner, file))
    return keys


def _check_sections(content: dict[str, Any], defaults: CfgNode, file: str, prefix: str = "") -> None:
    """Refuse a value where a section of keys belongs."""
    for key, value in content.items():
        section = defaults.get(key)
        if not isinstance(section, CfgNode):
            continue
        if not isinstance(value, dict):
            raise ConfigError(f"{file}: {prefix}{key} is {value!r}, but must be a section of keys")
        _check_sections(value, section, file, f"{prefix}{key}.")


@contextmanager
def _yaml_errors(file: str) -> Iterator[None]:
    """Say what is no plain YAML, with line and column."""
    try:
        with named(file, (ValueError, RecursionError, yaml.reader.ReaderError), ConfigError):
            yield  # these are characters, dates and depth
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        text = ", ".join(str(part) for part in (error.context, error.problem) if part)
        remedy = ". Configs are read as plain YAML: write the value itself"
        is_tag = isinstance(error, yaml.constructor.ConstructorError)
        raise ConfigError(f"{file}{place}: {text}{remedy if is_tag else ''}") from error

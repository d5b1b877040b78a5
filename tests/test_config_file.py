"""Configs are plain YAML: nothing in them is run, and an error names file, line and column, or the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from detr_d2 import model_zoo, paths
from detr_d2.config_file import find_config, read_config
from detr_d2.errors import ConfigError, MissingFileError
from detr_d2.paths import config_names, configs_folder

EVIL = (
    "!!python/object/apply:os.mkdir [{made}]",
    "!!python/object/new:os.mkdir [{made}]",
    "!!python/name:os.mkdir",
    "!!python/module:os",
    "!!python/tuple [1, 2]",
)


def refused(*args: object) -> str:
    with pytest.raises(ConfigError) as error:
        read_config(*args)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("value", EVIL)
@pytest.mark.parametrize("in_base", [False, True])
def test_a_config_that_makes_objects_is_refused_and_runs_nothing(
    tmp_path: Path, value: str, in_base: bool
) -> None:
    made = tmp_path / "made"
    evil, top = tmp_path / "evil.yaml", tmp_path / "top.yaml"
    evil.write_text(f"SEED: 1\nOUTPUT_DIR: {value.format(made=made)}\n")
    top.write_text("_BASE_: [evil.yaml]\n")
    text = refused(str(top if in_base else evil))
    assert f"{evil}, line 2, column 13: " in text
    assert not made.exists()


def test_values_of_the_command_line_are_not_run(tmp_path: Path) -> None:
    made = tmp_path / "made"
    code = f"__import__('os').mkdir({str(made)!r})"
    assert code == read_config("", ["OUTPUT_DIR", code]).OUTPUT_DIR
    assert "SOLVER.STEPS" in refused("", ["SOLVER.STEPS", f"({code},)"])
    assert "SOLVER.STEPS" in refused("", ["SOLVER.STEPS", f"!!python/object/apply:os.mkdir [{made}]"])
    assert not made.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("MODEL:\n  MASK_ON: True\n DEVICE: cpu\n", ", line 3, column 2: "),
        ("SEED: [1, 2\n", ", line 2, column 1: "),
        ("SEED: 'a\n", ", line 2, column 1: "),
        ("\tSEED: 1\n", ", line 1, column 1: "),
        ("SEED: @1\n", ", line 1, column 7: "),
        ("a: *nowhere\n", ", line 1, column 4: "),
        ("SEED: \x01\n", "x.yaml: "),
        ("", "holds no keys with values, but nothing"),
        ("just text\n", "but a str"),
        ("- 1\n- 2\n", "but a list"),
        ("1: 2\n", "keys that are no text"),
        ("_BASE_: 5\n", "_BASE_ is 5"),
        ("_BASE_: x.yaml\n", "_BASE_ leads back"),
        ("MODEL: 5\n", "MODEL is 5"),
        ("MODEL: {DETR: [1]}\n", "MODEL.DETR is [1]"),
        ("MODEL:\n  DETR: {NHEADS: many}\n", "MODEL.DETR.NHEADS"),
        ("MODEL:\n  DETR: {NO_SUCH: 1}\n", "MODEL.DETR.NO_SUCH"),
        ("MODEL:\n  1: 2\n", "x.yaml: "),
        ("SEED: 2020-01-01\n", "x.yaml: "),
        ("VERSION: 9\n", "x.yaml: "),
    ],
)
def test_what_is_wrong_in_a_file_is_said_in_one_line(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(content)
    text = refused(str(file))
    assert str(file) in text
    assert said in text


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00SEED: 1")
    assert "x.yaml: " in refused(str(tmp_path / "x.yaml"))


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"--config-file nowhere\.yaml does not exist"):
        read_config("nowhere.yaml")
    top = tmp_path / "top.yaml"
    top.write_text("_BASE_: gone.yaml\n")
    with pytest.raises(MissingFileError, match=rf"top\.yaml: _BASE_ {tmp_path}/gone\.yaml does not exist"):
        read_config(str(top))


def test_files_build_on_others_and_the_command_line_comes_last(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "one.yaml").write_text("SEED: 1\nSOLVER: {BASE_LR: 0.5, MAX_ITER: 7}\nVERSION: 2\n")
    (tmp_path / "top.yaml").write_text("_BASE_: base/one.yaml\nSOLVER: {MAX_ITER: 8}\n")
    cfg = read_config(str(tmp_path / "top.yaml"), ["SEED", "3"])
    assert (cfg.SEED, cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_ITER) == (3, 0.5, 8)


@pytest.mark.parametrize(
    ("opts", "said"),
    [
        (["SEED"], "odd length"),
        (["SEED", "1", "--num-processes", "2"], "--num-processes"),
        (["--num-gpus", "2"], "--num-gpus"),
        (["SEED.X", "1"], "command line: "),
        (["NO.SUCH", "1"], "NO.SUCH"),
        (["_BASE_", "x.yaml"], "_BASE_"),
        (["SOLVER.STEPS", "(" * 5000], "command line: "),
    ],
)
def test_what_is_wrong_on_the_command_line_is_said_in_one_line(opts: list[str], said: str) -> None:
    assert said in refused("", opts)


@pytest.mark.parametrize(
    ("key", "like"),
    [
        ("MODEL.DETR.QUERY_GROUPS", "MODEL.DETR.GROUPS.NUM"),
        ("MODEL.DETR.ENCODER_LOSS_WEIGHT", "MODEL.DETR.ENCODER.LOSS_WEIGHT"),
        ("SOLVER.BASELR", "SOLVER.BASE_LR"),
    ],
)
def test_a_key_that_is_not_there_is_named_with_like_ones(tmp_path: Path, key: str, like: str) -> None:
    section, _, name = key.rpartition(".")
    nested = f"{name}: 1"
    for outer in reversed(section.split(".")):
        nested = f"{outer}: {{{nested}}}"
    (tmp_path / "base.yaml").write_text(nested)
    (tmp_path / "x.yaml").write_text("_BASE_: base.yaml\nSEED: 1\n")
    for text in (refused("", [key, "1"]), refused(str(tmp_path / "x.yaml"))):
        assert key in text
        assert like in text
    assert refused("", ["SOLVER.MAX_ITER", "many"]).count("SOLVER.") == 1  # it is there: no other one is


def test_the_zoo_reads_its_configs_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = tmp_path / "evil.yaml"
    evil.write_text(f"OUTPUT_DIR: !!python/object/apply:os.mkdir [{tmp_path / 'made'}]\n")
    monkeypatch.setattr(paths, "configs_folder", lambda: tmp_path)
    monkeypatch.setattr(model_zoo.model_zoo, "configs_folder", lambda: tmp_path)
    with pytest.raises(ConfigError, match=r"evil\.yaml, line 1"):
        model_zoo.get_config("evil.yaml")
    assert not (tmp_path / "made").exists()


def test_every_config_that_comes_with_detr_d2_can_be_read() -> None:
    files = sorted(configs_folder().rglob("*.yaml"))
    assert len(files) > 10
    for file in files:
        read_config(str(file))


def test_a_config_that_comes_with_the_package_is_found_by_name_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in config_names():
        assert find_config(name) == str(configs_folder() / name)
    assert read_config("COCO-Detection/detr_R_101.yaml").MODEL.RESNETS.DEPTH == 101


def test_an_own_file_goes_before_a_config_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "COCO-Detection").mkdir()
    (tmp_path / "COCO-Detection" / "detr_R_101.yaml").write_text("SEED: 7\n")
    assert read_config("COCO-Detection/detr_R_101.yaml").SEED == 7


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("configs/COCO-Detection/detr_R_50.yaml", "COCO-Detection/detr_R_50.yaml"),
        ("COCO-Detection/detr_R50.yaml", "COCO-Detection/detr_R_50.yaml"),
        ("Shapes-Detection/detr_tiny", "Shapes-Detection/detr_tiny.yaml"),
        ("COCO-Detection", ""),
        ("../pyproject.toml", ""),
        ("a\0b.yaml", ""),
    ],
)
def test_a_config_that_is_not_there_is_named_with_like_names(
    name: str, near: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFileError) as error:
        read_config(name)
    assert name in str(error.value)
    assert near in str(error.value)

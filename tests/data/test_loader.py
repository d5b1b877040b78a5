"""Loaders: the same batches again, with any number of workers, from any iteration on."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm
from PIL import Image

from detr_d2.data import DataError, build_detr_test_loader, build_detr_train_loader
from detr_d2.data.loader import EvaluationDataset, TrainingDataset, micro_batch_size, seeded

Batch = list[dict[str, Any]]


@pytest.fixture
def mixed(tmp_path, catalog) -> str:
    """Eleven images of which seven are wider than high, with an object each."""
    records = []
    for number in range(11):
        width, height = (60, 40) if number % 3 else (40, 60)
        path = tmp_path / f"{number}.png"
        noise = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        annotation = {"bbox": [5, 5, 20, 20], "bbox_mode": 1, "category_id": number % 2, "iscrowd": 0}
        records.append(
            {
                "file_name": str(path),
                "image_id": number,
                "width": width,
                "height": height,
                "annotations": [annotation],
            }
        )
    DatasetCatalog.register("mixed", lambda: records)
    MetadataCatalog.get("mixed").set(thing_classes=["even", "odd"])
    return "mixed"


@pytest.fixture
def mixed_config(data_config: CfgNode, mixed: str) -> CfgNode:
    data_config.DATASETS.TRAIN = (mixed,)
    data_config.DATASETS.TEST = (mixed,)
    return data_config


def take(count: int, cfg: CfgNode, **options: Any) -> list[Batch]:
    return list(itertools.islice(build_detr_train_loader(cfg, **options), count))


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    """Bit for bit: images, boxes, classes, and everything else."""
    assert len(first) == len(second)
    for batch, other in zip(first, second, strict=True):
        assert len(batch) == len(other)
        for a, b in zip(batch, other, strict=True):
            assert a.keys() == b.keys()
            assert a["file_name"] == b["file_name"]
            assert torch.equal(a["image"], b["image"])
            assert torch.equal(a["instances"].gt_boxes.tensor, b["instances"].gt_boxes.tensor)
            assert torch.equal(a["instances"].gt_classes, b["instances"].gt_classes)


@pytest.mark.parametrize("grouping", [False, True])
def test_batches_are_the_same_again_and_with_workers(mixed_config, grouping):
    mixed_config.DATALOADER.ASPECT_RATIO_GROUPING = grouping
    first = take(8, mixed_config)
    assert_same(first, take(8, mixed_config))
    mixed_config.DATALOADER.NUM_WORKERS = 2
    assert_same(first, take(8, mixed_config))


def test_another_seed_gives_other_images_and_other_augmentation(mixed_config):
    mixed_config.SOLVER.IMS_PER_BATCH = 11
    first, other = take(1, mixed_config)[0], take(1, mixed_config, seed=8)[0]
    assert [s["file_name"] for s in first] != [s["file_name"] for s in other]
    by_name = {sample["file_name"]: sample["image"] for sample in other}
    differing = [s["image"].shape != by_name[s["file_name"]].shape for s in first]
    assert sum(differing) >= 3


def test_an_image_is_augmented_anew_in_each_epoch(mixed_config):
    mixed_config.SOLVER.IMS_PER_BATCH = 11
    mixed_config.DATALOADER.ASPECT_RATIO_GROUPING = False
    epochs = take(4, mixed_config)
    shapes = {sample["image"].shape for batch in epochs for sample in batch if sample["image_id"] == 1}
    assert len(shapes) >= 2


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_resuming_gives_the_batches_that_would_have_come_though_a_bucket_is_not_empty(
    mixed_config, workers, accumulation
):
    mixed_config.SOLVER.ACCUMULATION_STEPS = accumulation
    mixed_config.SOLVER.IMS_PER_BATCH = 4 * accumulation
    mixed_config.DATALOADER.NUM_WORKERS = workers
    mixed_config.DATALOADER.ASPECT_RATIO_GROUPING = True
    through = take(10 * accumulation, mixed_config)
    sampler = build_detr_train_loader(mixed_config).batch_sampler
    waiting = []
    for start in range(1, 7):
        given_out = [item for batch in itertools.islice(sampler, start * accumulation) for item in batch]
        waiting.append(max(position for _, position in given_out) + 1 - len(given_out))
        if waiting[-1]:
            resumed = take((10 - start) * accumulation, mixed_config, start_iter=start)
            assert_same(through[start * accumulation :], resumed)
    assert sum(number > 0 for number in waiting) >= 2


def test_every_image_comes_once_in_each_epoch(mixed_config):
    mixed_config.SOLVER.IMS_PER_BATCH = 11
    mixed_config.DATALOADER.ASPECT_RATIO_GROUPING = False
    for batch in take(3, mixed_config):
        assert sorted(sample["image_id"] for sample in batch) == list(range(11))


def test_ranks_take_different_positions_of_one_stream(mixed_config, monkeypatch):
    mixed_config.DATALOADER.ASPECT_RATIO_GROUPING = False
    whole = take(5, mixed_config)
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        parts.append(take(5, mixed_config))
    for n, batch in enumerate(whole):
        interleaved = [sample for pair in zip(parts[0][n], parts[1][n], strict=True) for sample in pair]
        assert_same([batch], [interleaved])


def test_loading_leaves_the_random_states_of_the_process_alone(mixed_config):
    def states() -> tuple[Any, ...]:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    take(2, mixed_config)
    list(build_detr_test_loader(mixed_config, "mixed"))
    assert states() == before


def test_random_states_are_restored_after_an_error_too():
    def fail() -> None:
        with seeded(1, 2):
            random.random()
            raise KeyError

    before = random.getstate()
    with pytest.raises(KeyError):
        fail()
    assert random.getstate() == before


@pytest.mark.parametrize("draw", [random.random, np.random.rand, lambda: torch.rand(1).item()])
def test_all_random_states_depend_on_the_seeds(draw):
    def value(*entropy: int) -> float:
        with seeded(*entropy):
            return draw()

    assert value(1, 2) == value(1, 2)
    assert len({value(1, 2), value(1, 3), value(2, 1)}) == 3


def test_several_data_sets_are_joined(mixed_config, catalog):
    more = [dict(record, image_id=100 + record["image_id"]) for record in DatasetCatalog.get("mixed")]
    DatasetCatalog.register("more", lambda: more)
    MetadataCatalog.get("more").set(thing_classes=["even", "odd"])
    mixed_config.DATASETS.TRAIN = ("mixed", "more")
    mixed_config.SOLVER.IMS_PER_BATCH = 22
    mixed_config.DATALOADER.ASPECT_RATIO_GROUPING = False
    batch = take(1, mixed_config)[0]
    assert sorted(sample["image_id"] for sample in batch) == [*range(11), *range(100, 111)]


def test_data_sets_of_other_classes_are_not_joined(mixed_config, catalog):
    DatasetCatalog.register("others", lambda: DatasetCatalog.get("mixed"))
    MetadataCatalog.get("others").set(thing_classes=["odd", "prime"])
    mixed_config.DATASETS.TRAIN = ("mixed", "others")
    with pytest.raises(DataError, match="odd, prime"):
        build_detr_train_loader(mixed_config)


def test_images_without_objects_are_kept_unless_the_config_says_otherwise(mixed_config):
    DatasetCatalog.get("mixed")[4]["annotations"].clear()
    mixed_config.SOLVER.IMS_PER_BATCH = 10
    mixed_config.DATALOADER.ASPECT_RATIO_GROUPING = False
    samples = [sample for batch in take(11, mixed_config) for sample in batch]
    assert {len(s["instances"]) for s in samples if s["image_id"] == 4} == {0}
    mixed_config.DATALOADER.FILTER_EMPTY_ANNOTATIONS = True
    samples = [sample for batch in take(11, mixed_config) for sample in batch]
    assert {s["image_id"] for s in samples} == set(range(11)) - {4}
    for record in DatasetCatalog.get("mixed"):
        record["annotations"].clear()
    with pytest.raises(DataError, match="FILTER_EMPTY_ANNOTATIONS"):
        build_detr_train_loader(mixed_config)


@pytest.mark.parametrize(("total", "steps", "processes"), [(5, 2, 1), (6, 2, 2), (0, 1, 1), (4, 0, 1)])
def test_batches_that_cannot_be_divided_name_the_keys(data_config, monkeypatch, total, steps, processes):
    monkeypatch.setattr(comm, "get_world_size", lambda: processes)
    data_config.SOLVER.IMS_PER_BATCH, data_config.SOLVER.ACCUMULATION_STEPS = total, steps
    with pytest.raises(ValueError, match=r"SOLVER\.IMS_PER_BATCH.*SOLVER\.ACCUMULATION_STEPS"):
        micro_batch_size(data_config)


def test_a_batch_is_divided_among_processes_and_steps(data_config, monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    data_config.SOLVER.IMS_PER_BATCH, data_config.SOLVER.ACCUMULATION_STEPS = 12, 3
    assert micro_batch_size(data_config) == 2


def test_no_training_set_names_the_key(data_config):
    data_config.DATASETS.TRAIN = ()
    with pytest.raises(DataError, match=r"DATASETS\.TRAIN"):
        build_detr_train_loader(data_config)


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"file_name": f"{number}.png"} for number in range(count)]


def test_an_image_that_the_mapper_refuses_is_replaced_always_by_the_same_one(caplog):
    def mapper(record: dict[str, Any]) -> dict[str, Any] | None:
        return None if record["file_name"] in ("3.png", "4.png") else record

    dataset = TrainingDataset(numbered(50), mapper, seed=0)
    replacements = [dataset[3, position]["file_name"] for position in range(20)]
    assert replacements == [dataset[3, position]["file_name"] for position in range(20)]
    assert len(set(replacements)) > 5
    assert not {"3.png", "4.png"} & set(replacements)
    assert "3.png" in caplog.text


def test_a_mapper_that_refuses_everything_is_an_error_that_names_the_image():
    dataset = TrainingDataset(numbered(5), lambda record: None, seed=0)
    with pytest.raises(DataError, match=r"3\.png"):
        dataset[3, 0]


def test_no_image_is_replaced_in_evaluation():
    dataset = EvaluationDataset(
        numbered(5), lambda record: None if record["file_name"] == "3.png" else record
    )
    assert dataset[2]["file_name"] == "2.png"
    with pytest.raises(DataError, match=r"3\.png.*evaluated"):
        dataset[3]


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_goes_through_the_images_in_order_one_at_a_time(mixed_config, workers):
    mixed_config.DATALOADER.NUM_WORKERS = workers
    loader = build_detr_test_loader(mixed_config, "mixed")
    assert len(loader) == 11
    assert [[sample["image_id"] for sample in batch] for batch in loader] == [[n] for n in range(11)]


def test_evaluation_in_batches_takes_images_of_one_size_together(mixed_config):
    mixed_config.TEST.IMS_PER_BATCH = 4
    batches = list(build_detr_test_loader(mixed_config, "mixed"))
    assert sorted(x["image_id"] for batch in batches for x in batch) == list(range(11))
    assert max(map(len, batches)) > 1
    for batch in batches:
        assert len({(x["height"], x["width"], x["image"].shape) for x in batch}) == 1


def test_evaluation_is_split_over_processes_without_repeating_images(mixed_config, monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 3)
    seen = []
    for rank in range(3):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        seen += [batch[0]["image_id"] for batch in build_detr_test_loader(mixed_config, "mixed")]
    assert sorted(seen) == list(range(11))


def test_a_worker_hands_on_the_error_that_names_the_image(mixed_config):
    with open(DatasetCatalog.get("mixed")[2]["file_name"], "wb") as file:
        file.write(b"no image")
    mixed_config.DATALOADER.NUM_WORKERS = 1
    with pytest.raises(DataError, match=r"2\.png cannot be decoded"):
        list(build_detr_test_loader(mixed_config, "mixed"))


def test_loaders_take_another_mapper(mixed_config):
    def mapper(record: dict[str, Any]) -> dict[str, Any]:
        return {"only": record["image_id"]}

    assert take(1, mixed_config, mapper=mapper)[0][0].keys() == {"only"}
    assert next(iter(build_detr_test_loader(mixed_config, "mixed", mapper=mapper))) == [{"only": 0}]

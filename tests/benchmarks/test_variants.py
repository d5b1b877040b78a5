from benchmarks.variants import read


def test_keys_change_what_is_measured() -> None:
    cfg = read("COCO-Detection/detr_R_50.yaml", ["MODEL.DETR.AUXILIARY", "('groups',)"])
    assert (cfg.MODEL.DETR.AUXILIARY, cfg.MODEL.DEVICE) == (("groups",), "cpu")

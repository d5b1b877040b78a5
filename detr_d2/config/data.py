"""Keys of the data."""

from detectron2.config import CfgNode


def add_data_keys(cfg: CfgNode) -> None:
    # Data

    # Order of the channels; published weights expect RGB.
    cfg.INPUT.FORMAT = "RGB"
    # The largest image that is read: width times height. The default is Pillow's own limit; a larger file
    # may have been made to exhaust the memory.
    cfg.INPUT.MAX_IMAGE_PIXELS = 178_956_970
    # The value of 16-bit gray images that becomes white (255). 65535 uses all bits; 4095 fits cameras that
    # store 12 bits in 16.
    cfg.INPUT.WHITE_LEVEL = 65535
    # Looked up in detr_d2.data.MAPPER_REGISTRY.
    cfg.INPUT.DATASET_MAPPER_NAME = "DetrDatasetMapper"
    # Half of the training images are first resized to one of these shorter sides and cropped to
    # INPUT.CROP.SIZE (when INPUT.CROP.ENABLED), then resized like the other half. The longer side is at most
    # ten times as long: narrower images become smaller.
    cfg.INPUT.CROP.RESIZE_SHORTEST_EDGE = (400, 500, 600)
    # How much training images are changed. "published": flipped, cropped where INPUT.CROP.ENABLED, resized.
    # "light": never cropped. "strong", against overfitting to few images: brightness, contrast and saturation
    # change too, and half of the images are cropped, where INPUT.CROP.ENABLED is not, to 60 to 100 % of each
    # side.
    cfg.INPUT.AUGMENTATION = "published"
    # A data set of your own, of any known format: a folder, or the json or data.yaml that it starts from. It
    # decides DATASETS.TRAIN and TEST, MODEL.DETR.NUM_CLASSES and, where they are too low,
    # MODEL.DETR.NUM_OBJECT_QUERIES and TEST.DETECTIONS_PER_IMAGE. --data of detr-d2 train sets it.
    cfg.DATASETS.PATH = ""
    # Data sets in COCO format to register by name: (name, annotation json, image folder) each.
    cfg.DATASETS.COCO_JSON = ()
    # The same in COCO's panoptic format: (name, panoptic json, image folder, folder of the maps) each.
    cfg.DATASETS.COCO_PANOPTIC = ()

"""Keys of the model: ``MODEL.DETR``, and Detectron2's with another default."""

from detectron2.config import CfgNode


def add_model_keys(cfg: CfgNode) -> None:
    cfg.MODEL.DETR = CfgNode()
    detr = cfg.MODEL.DETR

    # Model

    # Object classes, no-object not counted. At least as many as the data set has.
    detr.NUM_CLASSES = 80
    # How the rows of the class head are numbered in weights of the published DETR's code or Hugging Face's,
    # which do not tell: "as_is" (row i is class i), "category_ids" (by those of the data set, as that code
    # numbers them) or "coco" (by COCO's). "auto" takes COCO's where the file is a published one, or the data
    # set's classes are COCO's, and leaves what may be either way to you.
    detr.CLASS_ROWS = "auto"
    # Checkpoint (path or URI) of a detector to load and freeze while a mask head is trained on it.
    # Needs MODEL.MASK_ON; "" trains everything.
    detr.FROZEN_WEIGHTS = ""
    # Parts that keep the weights they start with: some of "backbone", "encoder" and "decoder" (each with what
    # leads into it); the heads always learn. For a few images and weights of like ones. Of a backbone,
    # MODEL.BACKBONE.FREEZE_AT freezes the first stages alone.
    detr.FREEZE = ()

    # Transformer

    # Channels of every token (d in the paper). Divisible by NHEADS and by 4.
    detr.HIDDEN_DIM = 256
    # Attention heads in every attention layer.
    detr.NHEADS = 8
    # Encoder layers; 0 feeds the projected features straight to the decoder.
    detr.ENC_LAYERS = 6
    # Decoder layers; each one is supervised when DEEP_SUPERVISION is on.
    detr.DEC_LAYERS = 6
    # Hidden channels of the feed-forward networks.
    detr.DIM_FEEDFORWARD = 2048
    # Dropout probability, in training, of attention weights, residual branches and feed-forward layers.
    detr.DROPOUT = 0.1
    # True normalizes before each sub-layer (and ends the encoder with a norm) instead of after it.
    detr.PRE_NORM = False
    # Position encoding of the feature map: "sine" (no parameters), "sine_centered" (the same, counted to the
    # centers of the cells, where a box with its center there is, too) or "learned" (up to 50 x 50 cells).
    detr.POSITION_EMBEDDING = "sine"
    # Ratio of the longest to the shortest wave of "sine". Smaller values tell near positions apart better.
    detr.POSITION_TEMPERATURE = 10000.0
    # Add the position encoding to the features as well, not only to the queries and keys of attention:
    # values then know where they are, which a model trained from scratch learns much earlier from.
    # False is published DETR.
    detr.POSITION_IN_CONTENT = False
    # Object queries: the largest number of detections in an image.
    detr.NUM_OBJECT_QUERIES = 100
    # How the queries attend to each other and to the image: one of detr_d2.modeling.DECODERS. "detr" is
    # published DETR's; "conditional" (Conditional DETR) lets each query look around a point of its own, and
    # converges sooner; so does "dab" (DAB-DETR), whose queries are boxes that each layer refines. "rpb"
    # refines boxes too, by DETR's attention with a bias for where a cell lies relative to the box (Plain
    # DETR).
    detr.DECODER = "detr"
    detr.RPB = CfgNode()
    # With "rpb": add the encoding of the box to what enters each layer, not only to queries and keys: a layer
    # that changes a box then knows it.
    detr.RPB.POSITION_IN_CONTENT = True
    detr.DAB = CfgNode()
    # With "dab" and "rpb": learn one vector that all queries start from, as DN-DETR does, in place of zeros.
    detr.DAB.LEARNED_CONTENT = False
    # As POSITION_TEMPERATURE, of the points or boxes of decoders that have them.
    detr.QUERY_TEMPERATURE = 10000.0
    # The backbone feature map that the transformer reads.
    detr.IN_FEATURE = "res5"
    # Further ones that are projected, resized to IN_FEATURE's cells and added to it: ("res3", "res5") beside
    # IN_FEATURE "res4" see small objects as a dilated last stage does, at less cost. () is published DETR.
    detr.FUSE_FEATURES = ()
    # With MODEL.MASK_ON: backbone feature maps that the mask head adds to its own, from coarse to fine, each
    # of a smaller stride than the one before. Masks have the stride of the last one.
    detr.MASK_FEATURES = ("res4", "res3", "res2")

    # Set criterion: weights of the terms of the loss

    # How classes are learned. "cross_entropy": one distribution over the classes and no-object, as published
    # DETR's. "focal": a probability for each class by itself, with the sigmoid focal loss; inference then
    # gives the TEST.DETECTIONS_PER_IMAGE best of all classes of all queries. Recipes of decoders that
    # converge early have it, with CLASS_WEIGHT 2 and COST_CLASS 2. Two more kinds of such probabilities learn
    # how well the box fits, by its IoU with the object: "position_supervised" (Stable-DINO) and
    # "matchability_aware" (DEIM).
    detr.CLASS_LOSS = "cross_entropy"
    detr.FOCAL = CfgNode()
    # With "focal": weight of the right class; the others have 1 minus this. The matching cost of
    # "position_supervised" and "matchability_aware" is the focal one, too, with ALPHA and GAMMA.
    detr.FOCAL.ALPHA = 0.25
    # With "focal" and "position_supervised": exponent that takes weight from what is right already.
    detr.FOCAL.GAMMA = 2.0
    # With "matchability_aware": a matched query's probability is to be its IoU to the power of this, which
    # takes weight from other answers, too.
    detr.MATCHABILITY_GAMMA = 1.5
    # What boxes are predicted as. "absolute": shares of the image, with the L1 distance of these, as in
    # published DETR. "relative" (Plain DETR): changes of the box of the layer before, in units of its size,
    # with the L1 distance of the changes in loss and matching cost; with a DECODER that refines boxes, and
    # with lower L1_WEIGHT and COST_L1 (there 1), since errors of small boxes count as much as of large ones.
    detr.BOX_REGRESSION = "absolute"
    # The class loss.
    detr.CLASS_WEIGHT = 1.0
    # L1 distance of normalized (cx, cy, w, h) boxes, or of what BOX_REGRESSION says.
    detr.L1_WEIGHT = 5.0
    # 1 - generalized IoU.
    detr.GIOU_WEIGHT = 2.0
    # Focal loss of the masks of the last decoder layer, with MODEL.MASK_ON.
    detr.MASK_WEIGHT = 1.0
    # Dice loss of the same masks.
    detr.DICE_WEIGHT = 1.0
    # True compares masks over the padded batch as published DETR does, False over each image alone.
    detr.MASK_LOSS_ON_PADDING = False
    # With "cross_entropy": weight of the no-object class inside it; the object classes have 1.
    detr.NO_OBJECT_WEIGHT = 0.1
    # True matches and supervises every decoder layer, False only the last one.
    detr.DEEP_SUPERVISION = True
    # What the losses are divided by. "joint": counts over all processes and accumulated micro-batches,
    # so that N processes or N micro-batches equal one large batch. "per_process": the published rule,
    # where the class loss is a weighted mean over each process's own micro-batch.
    detr.LOSS_NORMALIZATION = "joint"
    # Every this many iterations class error and cardinality error go to the event storage; 0 never.
    detr.METRICS_PERIOD = 20

    # Auxiliary supervision, in training alone (but for ENCODER.STARTS): models converge earlier

    # Which of detr_d2.modeling.AUXILIARIES; () is published DETR. "denoising" lets the decoder find objects
    # back whose classes and boxes have noise (DN-DETR): it learns to refine before it can find. "groups" has
    # more queries, in groups that are each matched by themselves (Group DETR). "encoder" lets the heads read
    # each object off the encoder's token at its center: helps models trained from scratch to find out where
    # to look.
    detr.AUXILIARY = ()
    detr.DENOISING = CfgNode()
    # With "denoising": how many times each object is denoised.
    detr.DENOISING.GROUPS = 5
    # With "denoising": probability that an object's class is replaced by any.
    detr.DENOISING.LABEL_NOISE = 0.2
    # With "denoising": a center moves by up to half of this share of the box, which grows or shrinks by up to
    # this share.
    detr.DENOISING.BOX_NOISE = 0.4
    detr.GROUPS = CfgNode()
    # With "groups": how many of NUM_OBJECT_QUERIES queries each, the one of inference counted.
    detr.GROUPS.NUM = 11
    detr.ENCODER = CfgNode()
    # With "encoder": weight of its losses.
    detr.ENCODER.LOSS_WEIGHT = 0.5
    # With "encoder" and a DECODER that refines boxes: how many of NUM_OBJECT_QUERIES start at the boxes that
    # the heads read off the encoder's tokens with most certainty, in inference too (two-stage DETR). The
    # others, and further groups, start from learned boxes.
    detr.ENCODER.STARTS = 0

    # Hungarian matching: weights of the terms of the cost

    # Minus the probability of the object's class; with "focal" what its loss would rise by, and so with the
    # two that learn how well boxes fit.
    detr.COST_CLASS = 1.0
    # L1 distance of normalized (cx, cy, w, h) boxes, or of what BOX_REGRESSION says.
    detr.COST_L1 = 5.0
    # Minus the generalized IoU.
    detr.COST_GIOU = 2.0

    # What inference gives

    detr.TEST = CfgNode()
    # "instances" in the results: a box, class and score for each query and, with MODEL.MASK_ON, a mask.
    # Of a panoptic model these are the queries whose class is a thing.
    detr.TEST.INSTANCE_ON = True
    # "panoptic_seg" in the results. Needs MODEL.MASK_ON and a data set with things and stuff.
    detr.TEST.PANOPTIC_ON = False
    # Instances of a lower score are left out. 0 keeps one for each query, as published DETR does, or all of
    # CLASS_LOSS "focal".
    detr.TEST.INSTANCE_SCORE_THRESHOLD = 0.0
    # A pixel belongs to an instance's mask where its probability is above this.
    detr.TEST.MASK_THRESHOLD = 0.5
    # Queries with a score up to this take no part in panoptic segmentation; with CLASS_LOSS "cross_entropy".
    detr.TEST.PANOPTIC_SCORE_THRESHOLD = 0.85
    # The same with "focal", whose scores are lower.
    detr.TEST.SIGMOID_PANOPTIC_SCORE_THRESHOLD = 0.3
    # Panoptic segments of so few pixels are left out.
    detr.TEST.PANOPTIC_MIN_AREA = 4
    # Type of the arithmetic in evaluation and prediction: "float32", or by mixed precision "bfloat16" or
    # "float16" (CUDA only), in less time where the device has it. A CPU that has not stays with float32, and
    # says so. Results differ: what AP loses should be looked at.
    detr.INFERENCE_DTYPE = "float32"
    # The mask head takes so many queries at a time, all images of a batch counted: bounds memory only.
    detr.TEST.MASK_CHUNK = 32

    # Detectron2's keys of the model with another default

    # Subtracted from the channels: ImageNet's mean, in INPUT.FORMAT's order, as published weights expect.
    cfg.MODEL.PIXEL_MEAN = [123.675, 116.28, 103.53]
    # Divides the channels then: ImageNet's standard deviation.
    cfg.MODEL.PIXEL_STD = [58.395, 57.12, 57.375]
    # Adds the mask head: masks of the objects, and panoptic segmentation.
    cfg.MODEL.MASK_ON = False

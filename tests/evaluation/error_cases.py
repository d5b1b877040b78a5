"""Objects and predictions to find errors in: a set worked by hand, random ones, and a plain loop."""

from __future__ import annotations

from typing import Any

import numpy as np

Record = dict[str, Any]

# (image, class, box) of twelve objects; the eighth is a crowd.
_OBJECTS = [
    (1, 1, (0, 0, 10, 10)),
    (1, 1, (100, 0, 10, 10)),
    (1, 2, (200, 0, 10, 10)),
    (1, 2, (300, 0, 10, 10)),
    (2, 3, (0, 0, 10, 10)),
    (2, 3, (100, 0, 10, 10)),
    (2, 3, (200, 0, 10, 10)),
    (2, 1, (0, 100, 90, 90)),
    (3, 1, (0, 0, 10, 10)),
    (3, 2, (100, 0, 10, 10)),
    (3, 2, (200, 0, 10, 10)),
    (3, 3, (300, 0, 10, 10)),
]
# (image, class, box, score), and what each is.
_PREDICTIONS = [
    ((1, 1, (0, 0, 10, 10), 0.9), "right"),
    ((1, 1, (0, 0, 10, 10), 0.8), "duplicate"),
    ((1, 2, (100, 0, 10, 10), 0.7), "class"),
    ((1, 2, (200, 0, 10, 4), 0.6), "localization"),  # IoU 0.4
    ((1, 1, (300, 0, 10, 4), 0.5), "both"),
    ((2, 3, (0, 0, 10, 10), 0.95), "right"),
    ((2, 3, (500, 0, 10, 10), 0.9), "background"),
    ((2, 3, (200, 0, 10, 10), 0.85), "right"),
    ((2, 1, (10, 110, 10, 10), 0.4), "ignored"),  # in the crowd
    ((3, 1, (0, 0, 10, 10), 0.65), "right"),
    ((3, 2, (100, 0, 10, 10), 0.55), "right"),
    ((3, 2, (200, 0, 10, 3), 0.45), "localization"),  # IoU 0.3
    ((3, 2, (200, 0, 10, 4), 0.35), "localization"),  # the same object again
]
HAND_KINDS = [kind for _, kind in _PREDICTIONS]
HAND_MISSED = [3, 5, 11]

# Sums over the 101 recalls of the precision of classes 1, 2 and 3.
_BASE = (34 + 33 * 2 / 3, 26 / 3, 26 + 25 * 2 / 3)
HAND_AP = sum(_BASE) / 303
_MENDED = {
    "class": (34 + 67 * 3 / 4, 26 / 2, _BASE[2]),
    "localization": (_BASE[0], 76 * 3 / 4, _BASE[2]),
    "both": _BASE,
    "duplicate": (67.0, _BASE[1], _BASE[2]),
    "background": (_BASE[0], _BASE[1], 51.0),
    "missed": (_BASE[0], 34 / 3, 51 + 50 * 2 / 3),
}
HAND_COSTS = {kind: sum(sums) / 303 - HAND_AP for kind, sums in _MENDED.items()}
HAND_CONFUSION = [[2, 1, 0, 0], [0, 1, 0, 3], [0, 0, 2, 2], [2, 3, 1, 0]]


def hand_worked() -> tuple[list[Record], list[Record]]:
    truth = [
        {"id": n, "image_id": image, "category_id": c, "bbox": list(box), "iscrowd": int(n == 8), "area": 100}
        for n, (image, c, box) in enumerate(_OBJECTS, start=1)
    ]
    predictions = [
        {"image_id": image, "category_id": c, "bbox": list(box), "score": score}
        for (image, c, box, score), _ in _PREDICTIONS
    ]
    return truth, predictions


def random_case(seed: int) -> tuple[list[Record], list[Record]]:
    """Up to five images with objects of three classes; predictions near them, of any class, and elsewhere."""
    rng = np.random.default_rng(seed)
    truth: list[Record] = []
    predictions: list[Record] = []
    for image in range(1, int(rng.integers(2, 6))):
        boxes = [[*rng.uniform(0, 60, 2), *rng.uniform(8, 40, 2)] for _ in range(rng.integers(0, 6))]
        for box in boxes:
            crowd = int(rng.random() < 0.15)
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": image,
                    "category_id": int(rng.integers(1, 4)),
                    "bbox": list(map(float, box)),
                    "iscrowd": crowd,
                    "area": float(box[2] * box[3]),
                }
            )
        for _ in range(rng.integers(0, 14)):
            near = boxes[rng.integers(len(boxes))] if boxes and rng.random() < 0.8 else [20, 20, 20, 20]
            box = np.array(near) + rng.normal(0, rng.choice([0.5, 4, 12]), 4)
            predictions.append(
                {
                    "image_id": image,
                    "category_id": int(rng.integers(1, 4)),
                    "bbox": [float(box[0]), float(box[1]), max(float(box[2]), 1.0), max(float(box[3]), 1.0)],
                    "score": float(rng.choice([0.1, 0.3, 0.5, 0.7, 0.9, rng.random()])),  # some are equal
                }
            )
    return truth, predictions


def overlap(a: list[float], b: list[float], of_first: bool = False) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(width, 0.0) * max(height, 0.0)
    return both / (a[2] * a[3] if of_first else a[2] * a[3] + b[2] * b[3] - both)


class PlainLoop:
    """The same, one prediction at a time and nothing remembered."""

    def __init__(self, truth: list[Record], predictions: list[Record], max_dets: int = 100):
        self.truth, self.predictions = truth, predictions
        self.order = sorted(
            range(len(predictions)), key=lambda i: (-predictions[i]["score"], predictions[i]["image_id"])
        )
        self.found: dict[int, int] = {}
        self.left_out: set[int] = set()
        shown: dict[tuple[int, int], int] = {}
        for i in self.order:
            p = predictions[i]
            key = p["image_id"], p["category_id"]
            shown[key] = shown.get(key, 0) + 1
            if shown[key] > max_dets:
                self.left_out.add(i)
                continue
            best, at = 0.5, None
            for j in self.real(p["image_id"]):
                t = truth[j]
                if t["category_id"] == p["category_id"] and j not in self.found.values():
                    iou = overlap(p["bbox"], t["bbox"])
                    if iou >= best:
                        best, at = iou, j
            if at is not None:
                self.found[i] = at
            elif any(
                t["iscrowd"]
                and (t["image_id"], t["category_id"]) == key
                and overlap(p["bbox"], t["bbox"], of_first=True) >= 0.5
                for t in truth
            ):
                self.left_out.add(i)
        self.errors = {i: self.kind(i) for i in self.order if i not in self.found and i not in self.left_out}
        reached = {j for _, j in self.errors.values()}
        self.missed = [
            j
            for j, t in enumerate(truth)
            if not t["iscrowd"] and j not in self.found.values() and j not in reached
        ]

    def real(self, image: int) -> list[int]:
        return [j for j, t in enumerate(self.truth) if t["image_id"] == image and not t["iscrowd"]]

    def kind(self, i: int) -> tuple[str, int | None]:
        p = self.predictions[i]
        ious = {j: overlap(p["bbox"], self.truth[j]["bbox"]) for j in self.real(p["image_id"])}
        own = {j: x for j, x in ious.items() if self.truth[j]["category_id"] == p["category_id"]}
        others = {j: x for j, x in ious.items() if j not in own}
        if own and 0.1 <= max(own.values()) <= 0.5:
            return "localization", max(own, key=own.__getitem__)
        if others and max(others.values()) >= 0.5:
            return "class", max(others, key=others.__getitem__)
        if any(x >= 0.5 and j in self.found.values() for j, x in own.items()):
            return "duplicate", None
        if not ious or max(ious.values()) <= 0.1:
            return "background", None
        return "both", None

    def precision(self, mend: str = "") -> float:
        """AP at IoU 0.5 after an oracle has mended the errors of one kind."""
        first: dict[int, int] = {}  # of each object that errors are at, the best of them
        for i in self.order:
            at = self.errors[i][1] if i in self.errors else None
            if at is not None and at not in self.found.values():
                first.setdefault(at, i)
        rows: list[tuple[int, bool]] = []
        for i in self.order:
            if i in self.left_out:
                continue
            category = self.predictions[i]["category_id"]
            kind, at = self.errors.get(i, ("", None))
            if kind != mend or not mend:
                rows.append((category, i in self.found))
            elif at is not None and first.get(at) == i:
                rows.append((self.truth[at]["category_id"], True))
        sought = [
            t["category_id"]
            for j, t in enumerate(self.truth)
            if not t["iscrowd"] and not (mend == "missed" and j in self.missed)
        ]
        values = []
        for category in set(sought):
            hits, points = 0, []
            for n, right in enumerate((r for c, r in rows if c == category), start=1):
                hits += right
                points.append((hits / sought.count(category), hits / n))
            steps = [max((p for r, p in points if r >= step / 100), default=0.0) for step in range(101)]
            values.append(sum(steps) / 101)
        return sum(values) / len(values) if values else float("nan")

    def confusion(self, score: float) -> list[list[int]]:
        counts = [[0] * 4 for _ in range(4)]
        taken = {j for i, j in self.found.items() if self.predictions[i]["score"] >= score}
        for j in taken:
            counts[self.truth[j]["category_id"] - 1][self.truth[j]["category_id"] - 1] += 1
        for i in self.order:
            p = self.predictions[i]
            if i in self.found or i in self.left_out or p["score"] < score:
                continue
            best, row = 0.5, 3
            at = None
            for j in self.real(p["image_id"]):
                iou = overlap(p["bbox"], self.truth[j]["bbox"])
                if j not in taken and iou >= best:
                    best, row, at = iou, self.truth[j]["category_id"] - 1, j
            if at is not None:
                taken.add(at)
            counts[row][p["category_id"] - 1] += 1
        for j, t in enumerate(self.truth):
            if not t["iscrowd"] and j not in taken:
                counts[t["category_id"] - 1][3] += 1
        return counts

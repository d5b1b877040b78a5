# make help lists the commands. Each does the set-up that it needs, once.

VENV ?= .venv
# A pip requirement or a folder to install as Detectron2. Kept until another is named;
# "default" goes back to the one in detectron2.txt.
DETECTRON2 ?=
# 1 compiles Detectron2's operators, where its sources are there.
DETECTRON2_OPS ?= 0

SHELL := /bin/bash
PY := $(VENV)/bin/python
DETR_D2 := $(VENV)/bin/detr-d2
READY := $(VENV)/ready
DEMO_CONFIG := configs/Shapes-Detection/detr_tiny.yaml
DEMO_OUTPUT := output/demo
# The picture of the README: what the demo's model finds.
PICTURE := docs/images/shapes.jpg
# The panoptic demo: a detector of things and stuff, then masks on it.
BOXES_CONFIG := configs/Shapes-PanopticSegmentation/detr_tiny_panoptic_boxes.yaml
PANOPTIC_CONFIG := configs/Shapes-PanopticSegmentation/detr_tiny_panoptic.yaml
BOXES_OUTPUT := output/demo-panoptic/boxes
PANOPTIC_OUTPUT := output/demo-panoptic

# A command with its duration.
timed = start=$$SECONDS; $(1) && echo "--- took $$((SECONDS - start)) s: $(2)"

.PHONY: help setup demo demo-panoptic test lint format docs pictures clean FORCE
.DEFAULT_GOAL := help

help:
	@echo "make demo    set up, generate shapes, train a small DETR on the CPU, evaluate it, draw what it found"
	@echo "make demo-panoptic  the same for panoptic segmentation: a detector of things and stuff, then its masks"
	@echo "make test    set up, then lint, type check and tests"
	@echo "make setup   make $(VENV), to be entered with: source $(VENV)/bin/activate;"
	@echo "             DETECTRON2=<pip requirement or folder> takes another Detectron2,"
	@echo "             DETECTRON2=default goes back, DETECTRON2_OPS=1 compiles its operators,"
	@echo "             PYTHON=<command> chooses the Python"
	@echo "make lint    ruff and mypy only"
	@echo "make format  let ruff put the code in order"
	@echo "make docs    write the pages of docs/ as a site to output/site"
	@echo "make pictures  draw the README's picture with the demo's model, which make demo trains"
	@echo "make clean   remove $(VENV) and caches; datasets/ and output/ stay"

# Set up again when requirements changed, when another Detectron2 is asked for than the one installed, or
# when it is a folder with something new in it.
ifneq ($(DETECTRON2),)
ifneq ($(DETECTRON2),$(shell cat $(VENV)/detectron2-requirement 2>/dev/null))
$(READY): FORCE
else ifneq ($(shell test -d '$(DETECTRON2)' && find '$(DETECTRON2)' -name '*.py' -newer $(READY) | head -n 1),)
$(READY): FORCE
endif
endif
$(READY): constraints.txt overrides.txt detectron2.txt pyproject.toml setup.py scripts/setup.sh
	@VENV='$(VENV)' PYTHON='$(PYTHON)' DETECTRON2='$(DETECTRON2)' DETECTRON2_OPS='$(DETECTRON2_OPS)' \
		scripts/setup.sh
	@touch $@

setup: $(READY)

demo: $(READY)
	@$(call timed,$(DETR_D2) shapes,shapes generated)
	@$(call timed,$(DETR_D2) train --config-file $(DEMO_CONFIG) OUTPUT_DIR $(DEMO_OUTPUT),trained and evaluated)
	@$(call timed,$(DETR_D2) draw --config-file $(DEMO_CONFIG) \
		--weights $(DEMO_OUTPUT)/model_final.pth --dataset shapes_val \
		--output $(DEMO_OUTPUT)/predictions.png,predictions drawn)
	@$(call timed,$(DETR_D2) plot $(DEMO_OUTPUT) --output $(DEMO_OUTPUT)/curves.png,curves drawn)
	@echo
	@echo "Ground truth beside predictions: $(DEMO_OUTPUT)/predictions.png"
	@echo "Loss and AP curves:              $(DEMO_OUTPUT)/curves.png"
	@echo "Report, for a browser:           $(DEMO_OUTPUT)/report.html"
	@echo "Weights:                         $(DEMO_OUTPUT)/model_final.pth"
	@echo "Try next, after source $(VENV)/bin/activate:"
	@echo "  detr-d2 eval --config-file $(DEMO_CONFIG) --weights $(DEMO_OUTPUT)/model_final.pth"
	@echo "  tensorboard --logdir $(DEMO_OUTPUT)"

demo-panoptic: $(READY)
	@$(call timed,$(DETR_D2) shapes,shapes generated)
	@$(call timed,$(DETR_D2) train --config-file $(BOXES_CONFIG) OUTPUT_DIR $(BOXES_OUTPUT),detector trained and evaluated)
	@$(call timed,$(DETR_D2) train --config-file $(PANOPTIC_CONFIG) OUTPUT_DIR $(PANOPTIC_OUTPUT) \
		MODEL.DETR.FROZEN_WEIGHTS $(BOXES_OUTPUT)/model_final.pth,mask head trained and evaluated)
	@$(call timed,$(DETR_D2) draw --config-file $(PANOPTIC_CONFIG) \
		--weights $(PANOPTIC_OUTPUT)/model_final.pth --dataset shapes_val_panoptic \
		--output $(PANOPTIC_OUTPUT)/predictions.png,predictions drawn)
	@$(call timed,$(DETR_D2) plot $(PANOPTIC_OUTPUT) \
		--output $(PANOPTIC_OUTPUT)/curves.png,curves drawn)
	@echo
	@echo "Image, ground truth, prediction: $(PANOPTIC_OUTPUT)/predictions.png"
	@echo "Loss and PQ curves:              $(PANOPTIC_OUTPUT)/curves.png"
	@echo "Report, for a browser:           $(PANOPTIC_OUTPUT)/report.html"
	@echo "Weights:                         $(PANOPTIC_OUTPUT)/model_final.pth"
	@echo "Try next, after source $(VENV)/bin/activate:"
	@echo "  detr-d2 panoptic-threshold --config-file $(PANOPTIC_CONFIG) \\"
	@echo "    --weights $(PANOPTIC_OUTPUT)/model_final.pth --dataset shapes_train_panoptic --images 200"

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

test: lint
	@echo "Detectron2: $$(cat $(VENV)/detectron2-requirement)"
	OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 4

format: $(READY)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: $(READY)
	$(PY) -m docs.generate
	$(PY) -m mkdocs build --strict

pictures: $(READY)
	$(VENV)/bin/detr-d2 draw --config-file $(DEMO_CONFIG) \
		--weights $(DEMO_OUTPUT)/model_final.pth --dataset shapes_val --num-images 4 --image-size 256 \
		--output $(PICTURE)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

"""Evaluation: figures that are the product's, because the product's own grouping makes the detections."""

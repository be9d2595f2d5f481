"""Transforms from model to model: width slices and their aggregation, magnitude masks, fake quantisation."""

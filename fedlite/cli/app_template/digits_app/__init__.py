"""Handwritten digits, learned by a small perceptron on many devices."""

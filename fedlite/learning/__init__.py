"""Learning on the device: data, models, training, and the accounts of work that the device model prices.

Knows torch and numpy; knows nothing of Flower, Ray or scenario files.
"""

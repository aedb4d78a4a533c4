"""Where images come from: sources, splits, decoding, views. Numpy; Pillow when an image is opened."""

SMALL_IMAGE = 64  # pixels a side; up to here what suits CIFAR

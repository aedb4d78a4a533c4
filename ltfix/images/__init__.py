"""Where images come from: sources, splits, decoding, views. Numpy; Pillow when an image is opened."""

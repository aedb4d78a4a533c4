"""The feature cache: writing, reading, checking. Numpy and safetensors only."""

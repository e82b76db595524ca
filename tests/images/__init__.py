"""Tests of what is built: images and their programs."""

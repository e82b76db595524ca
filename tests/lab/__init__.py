"""Tests of the library under suites and tools; none needs a host."""

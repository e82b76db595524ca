"""The library under suites and tools: what the lab is, how to reach it, how to ask and break it."""

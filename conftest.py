"""Everything of the suites' machinery is in lab/plugin.py."""

pytest_plugins = ["lab.plugin"]

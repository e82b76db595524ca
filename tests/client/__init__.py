"""Tests of the load client against a server that misbehaves on purpose."""

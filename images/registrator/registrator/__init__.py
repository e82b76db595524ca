"""Registers the services of running containers with the local Consul agent, and keeps the two equal."""

__version__ = "1.0.0"

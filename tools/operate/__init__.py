"""Operate the lab by hand: up, down, doctor and what else an operator wants of it."""

"""Tests of the registrator image; its fakes answer with what dockerd 20.10.24 and Consul 1.22.7 answered."""

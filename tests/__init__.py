"""Tests of lab/, tools/ and images/: no host needed."""

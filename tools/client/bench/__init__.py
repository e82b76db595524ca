"""The load client beside others on the same work, in one run."""

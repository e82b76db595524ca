"""The load client: opens connections, proves every byte that comes back, and accounts for each of them."""

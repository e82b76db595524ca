# Where the load comes from.

tool client

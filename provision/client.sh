# Where the load comes from.

ln -sfn "$artifacts/bin/client" /usr/local/bin/client

# The host of the echo services; scripts/launch.sh starts them.

. ./engine.sh
image fep

"""What is built once: binaries, the host box and the container images."""

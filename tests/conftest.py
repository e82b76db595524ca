"""What all tests without hosts share."""

from hypothesis import settings

# How long an example takes says more of the machine, which may be busy, than of what is tested.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

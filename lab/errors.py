"""What can go wrong on the lab's side: none of these says anything about the stack under test."""


class LabError(Exception):
    """The lab could not tell: a host, a connection or a tool failed, not a promise of the stack."""


class CommandTimeoutError(LabError):
    """A command on a host did not end within its deadline."""


class ForeignAnswerError(LabError):
    """What answered in Consul's place is not Consul."""


class CommandError(LabError):
    """A command on a host ended with an exit code that its caller did not allow."""


class NotRunError(LabError):
    """What a test needs is not to be had here: it is reported as not run, with this sentence."""

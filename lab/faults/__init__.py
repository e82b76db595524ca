"""What can be made to go wrong with the lab, and how all of it is undone.

    with faults.under(Kill(lab.leader())):
        ...

A fault is injected, *seen* from outside before the body goes on, healed however the body ends, and the
recovery from it is seen as well. Each is written into the run's history: checks and pictures know of it.
"""

from lab.faults.cycle import Fault, Faults, NoOp, Together
from lab.faults.disk import FullDisk, Wipe
from lab.faults.heal import heal
from lab.faults.host import Freeze, PowerCut, Reboot
from lab.faults.network import Cut, Delay, Loss, PortCut, apart, between, bridge, isolate, one_way
from lab.faults.process import Kill, Leave, Pause, Terminate

__all__ = [
    "Cut",
    "Delay",
    "Fault",
    "Faults",
    "Freeze",
    "FullDisk",
    "Kill",
    "Leave",
    "Loss",
    "NoOp",
    "Pause",
    "PortCut",
    "PowerCut",
    "Reboot",
    "Terminate",
    "Together",
    "Wipe",
    "apart",
    "between",
    "bridge",
    "heal",
    "isolate",
    "one_way",
]

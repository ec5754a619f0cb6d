"""Helper programs, found on PATH and nowhere else."""

from __future__ import annotations

import os
import shutil


def find(name: str) -> str | None:
    """The path of the program `name`; None when no folder of PATH has it.

    The current folder is never searched, neither first, as is the custom on Windows, nor by a relative entry of
    PATH: it may be the folder of a project, whose programs are not to be told of credentials.
    """
    # Windows tells programs by their endings; elsewhere there is no such list.
    endings = os.environ.get("PATHEXT", ".COM;.EXE;.BAT;.CMD").split(os.pathsep) if os.name == "nt" else [""]
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if os.path.isabs(folder):
            for ending in endings:
                # A name with a folder is looked at there alone.
                if found := shutil.which(os.path.join(folder, name + ending)):
                    return found
    return None

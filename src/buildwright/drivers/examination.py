"""The seam between a node and whoever asks what stands between it and its builds."""

from __future__ import annotations

from dataclasses import dataclass, field

from buildwright.model.finding import Finding


@dataclass(slots=True)
class Examination:
    """`running` says whether there is a daemon to ask; `place` says where the node is."""

    place: str = ""
    running: bool = False
    findings: list[Finding] = field(default_factory=list)

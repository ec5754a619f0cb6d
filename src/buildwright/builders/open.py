"""From a builder's record to the driver of a node."""

from __future__ import annotations

from buildwright.drivers.driver import Driver
from buildwright.errors import UsageError
from buildwright.model.node import Builder, Node

_ENGINE_DRIVERS = frozenset({"docker", "docker-container"})
_ADVICE = (
    'make a builder with "buildwright create --driver kubernetes" or "buildwright create --driver remote ADDRESS", '
    "or set BUILDKIT_HOST to a BuildKit daemon's address"
)


def driver_for(builder: Builder, node: Node) -> Driver:
    """Make the driver of a node, without touching a network; UsageError or DriverOptionError when that cannot be."""
    if builder.docker_context or not builder.driver:
        raise UsageError(
            f'"{builder.name}" is a docker context, and building with a Docker engine is not supported: {_ADVICE}'
        )
    if not supported(builder.driver):
        raise UsageError(
            f'builder "{builder.name}" has the driver "{builder.driver}", which is not supported: {_ADVICE}'
        )
    from buildwright.drivers import table

    return table.make(builder.driver, node)


def supported(driver: str) -> bool:
    """Whether this version has a driver of that name."""
    from buildwright.drivers import table

    return driver in table.KNOWN


def check_driver(driver: str, *, explicit: bool = True) -> None:
    """Raise UsageError when new builders cannot have that driver; not `explicit` means that nobody named one."""
    if driver == "docker":
        raise UsageError('additional instances of the driver "docker" cannot be created')
    if driver in _ENGINE_DRIVERS:
        reason = f'the driver "{driver}" is not supported' if explicit else "no driver is named"
        raise UsageError(f"{reason}: choose --driver kubernetes, or --driver remote with a daemon's address")
    if not supported(driver):
        from buildwright.drivers import table

        raise UsageError(f'unknown driver "{driver}": choose {" or ".join(table.KNOWN)}')

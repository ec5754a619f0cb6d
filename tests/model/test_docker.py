"""Where docker's configuration is, by the environment that is given."""

from __future__ import annotations

import os

from buildwright.model.docker import config_dir

HOME = "USERPROFILE" if os.name == "nt" else "HOME"


def test_docker_config_names_the_folder_before_any_home() -> None:
    assert config_dir({"DOCKER_CONFIG": "/etc/docker-of-ci", HOME: "/home/u"}) == "/etc/docker-of-ci"


def test_the_home_is_the_given_environments() -> None:
    assert config_dir({HOME: os.path.join(os.sep, "home", "u")}) == os.path.join(os.sep, "home", "u", ".docker")


def test_without_one_it_is_the_users() -> None:
    assert config_dir({}) == os.path.join(os.path.expanduser("~"), ".docker")

"""That a builder stays in its cluster, whatever kubectl's current context is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster


def test_a_builder_is_found_after_a_switch_and_refused_in_another_cluster(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    shutil.copy(cluster.kubeconfig, kubeconfig)
    settings = ("--kubeconfig", str(kubeconfig), "config")
    cluster.kubectl(*settings, "set-context", "--current", "--namespace", namespace)
    uid = cluster.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}").stdout

    def ours(*words: str, check: bool = True) -> tuple[int, str]:
        done = cluster.buildwright(*words, config=tmp_path, check=check, KUBECONFIG=str(kubeconfig))
        return done.returncode, done.stdout + done.stderr

    ours("create", "--name", "a", "--driver", "kubernetes")
    record = tmp_path / "buildx" / "instances" / "a"
    kept = record.read_text()
    for words in (f"cluster={uid}", f"namespace={namespace}", quote(str(kubeconfig), safe="")):
        assert words in kept

    record.write_text(kept.replace(uid, "another"))
    code, said = ours("rm", "a", check=False)
    assert code == 1
    assert "(kube-system another)" in said
    assert f"(kube-system {uid})" in said
    assert record.exists()
    record.write_text(kept)

    cluster.kubectl(*settings, "set-context", "elsewhere", "--cluster", "none", "--user", "none")
    cluster.kubectl(*settings, "use-context", "elsewhere")
    assert "inactive" in ours("inspect", "a")[1]
    assert ours("rm", "a") == (0, "a removed\n")

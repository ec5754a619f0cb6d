"""Which proxy the environment names for a server."""

from __future__ import annotations

import pytest

from buildwright.kube.proxy import choose

PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("server", "environ", "chosen"),
    [
        ("https://k:6443", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://k:6443", {"https_proxy": "proxy:3128"}, PROXY),
        ("https://k:6443", {"HTTP_PROXY": PROXY}, ""),
        ("http://k:8080", {"HTTP_PROXY": PROXY}, PROXY),
        ("https://localhost:6443", {"HTTPS_PROXY": PROXY}, ""),
        ("https://127.0.0.9:6443", {"HTTPS_PROXY": PROXY}, ""),
        ("https://[::1]:6443", {"HTTPS_PROXY": PROXY}, ""),
        ("https://k.example.com", {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, ""),
        ("https://k.example.com", {"HTTPS_PROXY": PROXY, "NO_PROXY": "a, example.com"}, ""),
        ("https://k.example.com", {"HTTPS_PROXY": PROXY, "NO_PROXY": ".example.com"}, ""),
        ("https://k.example.com", {"HTTPS_PROXY": PROXY, "no_proxy": "*.Example.com"}, ""),
        ("https://example.com", {"HTTPS_PROXY": PROXY, "NO_PROXY": ".example.com"}, PROXY),
        ("https://myexample.com", {"HTTPS_PROXY": PROXY, "NO_PROXY": "example.com"}, PROXY),
        ("https://10.1.2.3:6443", {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, ""),
        ("https://11.1.2.3:6443", {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8,no/net,10.9.9.9"}, PROXY),
        ("https://10.1.2.3:6443", {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.1.2.3:6443"}, ""),
        ("https://10.1.2.3:6443", {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.1.2.3:443"}, PROXY),
        ("https://[fd00::1]:6443", {"HTTPS_PROXY": PROXY, "NO_PROXY": "[fd00::1]:6443"}, ""),
        ("https://[fd00::1]:6443", {"HTTPS_PROXY": PROXY, "NO_PROXY": "fd00::/8"}, ""),
    ],
)
def test_the_environment_is_read_as_kubectl_reads_it(server: str, environ: dict[str, str], chosen: str) -> None:
    assert choose(server, "", environ) == chosen


def test_the_kubeconfig_goes_before_the_environment_and_its_exceptions() -> None:
    assert choose("https://k", PROXY, {"HTTPS_PROXY": "http://other", "NO_PROXY": "*"}) == PROXY


@pytest.mark.parametrize("address", ["http://[1", "http://:3128", "http://h:0", "ftp://me:hidden@h", "socks5h://h"])
def test_an_address_of_no_use_is_not_repeated(address: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        choose("https://k", address, {})
    assert address not in str(caught.value)
    assert "hidden" not in str(caught.value)

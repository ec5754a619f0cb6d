"""The byte streams of `wire`, each against the one suite."""

import asyncio
import datetime
import errno
import ipaddress
import socket
import ssl
from contextlib import asynccontextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from buildwright.errors import ConnectError, ConnectionLostError
from buildwright.testing.suites.stream import ByteStreamSuite
from buildwright.wire import sockets
from buildwright.wire.channel import Channel
from buildwright.wire.memory import memory_pair
from buildwright.wire.rpc import ServerCall
from buildwright.wire.serve import Server
from buildwright.wire.sockets import LoopSocketStream, SocketStream, connect_tcp, connect_unix
from buildwright.wire.tls import connect_tls, start_tls
from buildwright.wire.tunnel import TunnelStream, client_tunnel


class TestMemoryStream(ByteStreamSuite):
    @asynccontextmanager
    async def pair(self):
        one, other = memory_pair()
        yield one, other
        await one.aclose()
        await other.aclose()


class TestUnixStream(ByteStreamSuite):
    stream = SocketStream

    @asynccontextmanager
    async def pair(self):
        one, other = socket.socketpair()
        streams = self.stream(one, "the other end"), self.stream(other, "the one end")
        yield streams
        for stream in streams:
            await stream.aclose()


class TestLoopSocketStream(TestUnixStream):
    stream = LoopSocketStream


@asynccontextmanager
async def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        one = await connect_tcp("localhost", listener.getsockname()[1])
        accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
        other = SocketStream(accepted, "the client")
        yield one, other
        await one.aclose()
        await other.aclose()


class TestTcpStream(ByteStreamSuite):
    def pair(self):
        return tcp_pair()


class Certificates:
    """A CA, and a server's certificate for localhost."""

    def __init__(self, folder):
        self.ca = str(folder / "ca.pem")
        self.pair = str(folder / "server.pem")
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        ca = self._sign(ca_name, ca_name, ca_key.public_key(), ca_key, [(x509.BasicConstraints(True, None), True)])
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        server = self._sign(name, ca_name, key.public_key(), ca_key, [(x509.SubjectAlternativeName(names), False)])
        with open(self.ca, "wb") as file:
            file.write(ca.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        pem = serialization.Encoding.PEM
        with open(self.pair, "wb") as file:
            file.write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + server.public_bytes(pem))

    def _sign(self, subject, issuer, key, signer, extensions):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256())

    def server(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pair)
        context.set_alpn_protocols(["h2"])
        return context

    def client(self):
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols(["h2"])
        return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


class TestTlsStream(ByteStreamSuite):
    version = ssl.TLSVersion.TLSv1_3

    @pytest.fixture(autouse=True)
    def _certificates(self, certificates):
        self.certificates = certificates

    @asynccontextmanager
    async def pair(self):
        server, client = self.certificates.server(), self.certificates.client()
        client.maximum_version = self.version
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)

            async def accept():
                accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
                return await start_tls(SocketStream(accepted, "client"), server, name="client", server_side=True)

            async with asyncio.TaskGroup() as group:
                accepting = group.create_task(accept())
                one = await connect_tls("localhost", listener.getsockname()[1], client)
        yield one, accepting.result()
        await one.aclose()
        await accepting.result().aclose()


class TestTls12Stream(TestTlsStream):
    version = ssl.TLSVersion.TLSv1_2


class TestTunnelStream(ByteStreamSuite):
    """One end over a client's call, the other over the server's, whose handler holds it open."""

    half_close = False  # A server ends its side of a call by ending the call.

    @asynccontextmanager
    async def pair(self):
        ours, theirs = memory_pair()
        there: asyncio.Future[TunnelStream] = asyncio.get_running_loop().create_future()
        leave = asyncio.Event()

        async def session(call: ServerCall) -> None:
            tunnel = TunnelStream(call, half_close=leave_soon, cancel=leave.set)
            there.set_result(tunnel)
            await leave.wait()

        async def leave_soon() -> None:
            leave.set()

        async with asyncio.TaskGroup() as group:
            serving = group.create_task(Server({"/Session": session}).serve(theirs))
            async with Channel(ours) as channel, channel.call("/Session") as call:
                yield client_tunnel(call), await there
                leave.set()
            await serving


def test_a_missing_unix_socket_is_one_sentence(tmp_path):
    path = str(tmp_path / "none.sock")
    with pytest.raises(ConnectError, match=r"^cannot connect to unix://.*none\.sock: there is no such socket; .*\?$"):
        asyncio.run(connect_unix(path))


def test_a_unix_socket_that_nobody_serves_is_one_sentence(tmp_path):
    path = str(tmp_path / "dead.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with pytest.raises(ConnectError, match="connection refused; is the daemon running"):
        asyncio.run(connect_unix(path))


def test_a_closed_port_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectError, match=rf"^cannot connect to tcp://127\.0\.0\.1:{port}: connection refused; is"):
        asyncio.run(connect_tcp("127.0.0.1", port))


def test_an_unknown_host_is_one_sentence():
    with pytest.raises(ConnectError, match=r"^cannot connect to tcp://no-such-host\.invalid:1: the host is unknown"):
        asyncio.run(connect_tcp("no-such-host.invalid", 1))


def test_a_dead_address_does_not_hold_up_a_living_one(monkeypatch):
    async def scenario():
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as closing:
            dead = closing.getsockname()
            closing.close()
            loop = asyncio.get_running_loop()

            async def addresses(*_args, **_kwargs):
                kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
                return [(*kind, dead), (*kind, listener.getsockname())]

            monkeypatch.setattr(loop, "getaddrinfo", addresses)
            stream = await connect_tcp("example", 1)
            await stream.aclose()

    asyncio.run(scenario())


def test_a_family_without_sockets_does_not_hide_the_other(monkeypatch):
    class Socket(socket.socket):
        def __init__(self, family=-1, *args, **more):
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *args, **more)

    async def scenario():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            four = (socket.AF_INET, socket.SOCK_STREAM, 0, "", listener.getsockname())
            six = (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", 1, 0, 0))
            found = [six, four]

            async def addresses(*_args, **_kwargs):
                return found

            monkeypatch.setattr(socket, "socket", Socket)
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", addresses)
            stream = await connect_tcp("example", 1)
            await stream.aclose()
            found.remove(four)
            with pytest.raises(
                ConnectError, match=r"^cannot connect to tcp://example:1: address family not supported"
            ):
                await connect_tcp("example", 1)

    asyncio.run(scenario())


def test_a_cancelled_close_closes_the_socket_all_the_same(monkeypatch):
    async def scenario():
        one, other = socket.socketpair()
        with other:
            stream = LoopSocketStream(one, "the other end")
            begun, held = asyncio.Event(), asyncio.Event()

            async def stubborn(*_args):
                begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    await held.wait()

            monkeypatch.setattr(asyncio.get_running_loop(), "sock_recv", stubborn)
            reading = asyncio.create_task(stream.read())
            await begun.wait()
            closing = asyncio.create_task(stream.aclose())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing])
            assert closing.cancelled()
            assert one.fileno() == -1
            held.set()
            with pytest.raises(ConnectionLostError):
                await reading

    asyncio.run(scenario())


def test_addresses_alternate_between_families():
    four = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (f"10.0.0.{n}", 1)) for n in range(3)]
    six = [(socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", 1, 0, 0))]
    assert sockets.interleave([*six, *four]) == [six[0], *four]
    assert sockets.interleave([*four, *six]) == [four[0], six[0], *four[1:]]


def tls_failure(server_context, client_context, hostname=None):
    """What connecting raises when the server speaks TLS with one context and the client with the other."""

    async def scenario():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)

            async def accept():
                accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
                below = SocketStream(accepted, "client")
                if server_context is None:
                    await below.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    await below.aclose()
                    return
                with pytest.raises(ConnectError):
                    await start_tls(below, server_context, name="client", server_side=True)

            async with asyncio.TaskGroup() as group:
                group.create_task(accept())
                with pytest.raises(ConnectError) as caught:
                    await connect_tls("127.0.0.1", listener.getsockname()[1], client_context, hostname)
        return str(caught.value)

    return asyncio.run(scenario())


def test_an_untrusted_certificate_is_one_sentence(certificates):
    message = tls_failure(certificates.server(), ssl.create_default_context())
    assert "its certificate is not trusted (" in message
    assert message.endswith("check the CA certificate and the server name")


def test_a_wrong_server_name_is_one_sentence(certificates):
    message = tls_failure(certificates.server(), certificates.client(), "elsewhere.example")
    assert "elsewhere.example" in message


class Gated:
    """A stream that sends the second half of what is written once `gate` is set, or not at all once it is broken."""

    def __init__(self, below):
        self.below = below
        self.read, self.close_write, self.aclose = below.read, below.close_write, below.aclose
        self.gate, self.midway = asyncio.Event(), asyncio.Event()
        self.broken = False
        self.gate.set()

    async def write(self, data, /):
        if self.broken:
            raise ConnectionLostError("the peer is gone")
        half = len(data) // 2
        await self.below.write(data[:half])
        self.midway.set()
        await self.gate.wait()
        await self.below.write(data[half:])


def test_an_untrusted_certificate_is_the_cause_although_its_alert_cannot_be_sent(certificates):
    async def scenario():
        ours, theirs = memory_pair()
        below = Gated(ours)

        async def serve():
            with pytest.raises(ConnectError):
                await start_tls(theirs, certificates.server(), name="client", server_side=True)

        async def break_after_hello():
            await below.midway.wait()
            below.broken = True

        async with asyncio.TaskGroup() as group:
            group.create_task(break_after_hello())
            group.create_task(serve())
            with pytest.raises(ConnectError, match="its certificate is not trusted"):
                await start_tls(below, ssl.create_default_context(), name="daemon", server_hostname="localhost")

    asyncio.run(scenario())


def test_a_cancelled_read_tears_no_record_that_answers_the_peer(certificates):
    async def scenario():
        ours, theirs = memory_pair()
        below = Gated(ours)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(start_tls(theirs, certificates.server(), name="client", server_side=True))
            client = await start_tls(below, certificates.client(), name="daemon", server_hostname="localhost")
        below.gate.clear()
        below.midway.clear()
        client._tls.write(b"sent by OpenSSL")
        reading = asyncio.create_task(client.read())
        await below.midway.wait()
        reading.cancel()
        await asyncio.wait([reading])
        below.gate.set()
        await client.write(b", then by us")
        seen = b""
        while len(seen) < len("sent by OpenSSL, then by us"):
            seen += await serving.result().read()
        assert seen == b"sent by OpenSSL, then by us"
        await client.aclose()
        await serving.result().aclose()

    asyncio.run(scenario())


def test_connecting_leaves_the_callers_context_as_it_is(certificates):
    async def scenario():
        context = ssl.create_default_context(cafile=certificates.ca)
        context.set_alpn_protocols(["other", "h2"])
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            chooser = certificates.server()
            chooser.set_alpn_protocols(["other"])

            async def accept():
                accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
                return await start_tls(SocketStream(accepted, "client"), chooser, name="client", server_side=True)

            async with asyncio.TaskGroup() as group:
                accepting = group.create_task(accept())
                stream = await connect_tls("localhost", listener.getsockname()[1], context)
        assert stream._tls.selected_alpn_protocol() == "other"
        await stream.aclose()
        await accepting.result().aclose()

    asyncio.run(scenario())


def test_a_peer_without_tls_is_one_sentence(certificates):
    assert "TLS handshake" in tls_failure(None, certificates.client())


def test_a_forbidden_unix_socket_is_one_sentence(monkeypatch):
    async def scenario():
        async def refuse(*_args):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", refuse)
        await connect_unix("/run/closed.sock")

    with pytest.raises(ConnectError, match="permission denied; is your user in its group"):
        asyncio.run(scenario())


def test_errors_of_a_channel_call_the_daemon_by_its_address(tmp_path):
    path = str(tmp_path / "daemon.sock")

    async def scenario():
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            listener.setblocking(False)
            async with Channel(await connect_unix(path)) as channel:
                accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
                calling = asyncio.create_task(channel.unary("/Echo", b""))
                await asyncio.sleep(0)
                accepted.shutdown(socket.SHUT_RDWR)
                accepted.close()
                with pytest.raises(ConnectionLostError, match=f"unix://{path}"):
                    await calling

    asyncio.run(scenario())

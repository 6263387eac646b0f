"""OPC UA: the station is the server, as the Machine Vision specification sees a vision system."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import OrderedDict
from pathlib import Path
from typing import Any

from edge.outputs.channel import Channel
from edge.outputs.contract import MissingPackageError, Output, OutputState, Served
from edge.outputs.handshake import Acknowledge, Mode, Trigger
from edge.outputs.settings import OpcuaSettings, address_of
from edge.outputs.signals import Signals

try:
    from asyncua import Server, ua, uamethod
    from asyncua.crypto.permission_rules import User, UserRole
    from asyncua.server.user_managers import UserManager
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from edge.outputs.opcua_nodes import NAMESPACE, CameraNodes, job_id, make_event_types, node_id, result_of
except ImportError:
    raise MissingPackageError("opcua", "asyncua") from None

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 0.5
APPLICATION_URI = "urn:lineside:station"

# Errors of the methods: 0 is OK, below 0 is for the application (OPC 40100-1, 8.3.7.1).
OK = 0
NOT_READY = -1
NO_RESULT = -2

_T = ua.VariantType


class OpcuaOutput(Output):
    """An OPC UA server.

    Raises:
        OSError, ValueError: the folder of trusted certificates cannot be read.
    """

    name = "opcua"

    def __init__(self, settings: OpcuaSettings) -> None:
        self._settings = settings
        self._cameras: list[_Camera] = []
        self._guests = None if settings.trusted is None else _Guests(settings.trusted)

    async def serve(self, served: Served) -> None:
        """Listens until cancelled."""
        host, port = address_of(self._settings.listen)
        port = _free(host, port)
        server = Server(user_manager=self._guests)
        await server.init()
        await self._secure(server)
        server.set_endpoint(f"opc.tcp://{f'[{host}]' if ':' in host else host}:{port}/lineside/")
        server.set_server_name(f"Lineside {served.station}")
        namespace = await server.register_namespace(NAMESPACE)
        root = await server.nodes.objects.add_object(
            node_id("Lineside", namespace), ua.QualifiedName("Lineside", namespace)
        )
        events = await make_event_types(server, namespace)
        self._cameras = [_Camera(channel, self._settings.keep_results) for channel in served.channels]
        for camera in self._cameras:
            await camera.make(server, root, namespace, events)
        async with server:
            logger.info("OPC UA listens on %s", server.endpoint.geturl())
            served.report(OutputState.WAITING, "")
            served.listening(server.endpoint.geturl())
            tellers = [asyncio.create_task(camera.tell()) for camera in self._cameras]
            beating = asyncio.create_task(self._beat(server, served))
            try:
                done, _ = await asyncio.wait((*tellers, beating), return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (*tellers, beating):
                    task.cancel()
                await asyncio.wait((*tellers, beating))

    async def _beat(self, server: Server, served: Served) -> None:
        count = 0
        while True:
            count += 1
            for camera in self._cameras:
                await camera.nodes.beat(count)
            connected = server.bserver is not None and bool(server.bserver.clients)
            served.report(OutputState.CONNECTED if connected else OutputState.WAITING, "")
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _secure(self, server: Server) -> None:
        settings = self._settings
        await server.set_application_uri(APPLICATION_URI)
        if settings.certificate is None or settings.private_key is None:
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
            return
        await server.load_certificate(settings.certificate)
        await server.load_private_key(settings.private_key)
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
        server.set_identity_tokens([ua.AnonymousIdentityToken])


class _Guests(UserManager):
    """Lets in whoever has proven, by opening the secure channel, that a certificate of the folder is his.

    The library's own check looks at a certificate the client merely sends along.
    """

    def __init__(self, folder: Path) -> None:
        files = sorted(path for path in folder.iterdir() if path.suffix in (".der", ".pem", ".crt", ".cer"))
        self._known = {_certificate(path) for path in files}
        if not self._known:
            raise ValueError(f"[outputs.opcua] trusted: there is no certificate (.der, .pem, .crt, .cer) in {folder}")

    def get_user(
        self,
        iserver: Any,  # noqa: ARG002
        username: str | None = None,  # noqa: ARG002
        password: str | None = None,  # noqa: ARG002
        certificate: Any = None,
    ) -> User | None:
        """The user with this certificate, or None."""
        return User(role=UserRole.User) if certificate in self._known else None


def _certificate(path: Path) -> bytes:
    data = path.read_bytes()
    try:
        loaded = (
            x509.load_pem_x509_certificate(data) if data.startswith(b"-----") else x509.load_der_x509_certificate(data)
        )
    except ValueError:
        raise ValueError(f"[outputs.opcua] trusted: {path} is no certificate") from None
    return loaded.public_bytes(Encoding.DER)


class _Camera:
    """A channel and its nodes."""

    def __init__(self, channel: Channel, keep: int) -> None:
        self.channel = channel
        self.nodes: CameraNodes
        self._keep = keep
        self._results: OrderedDict[str, Signals] = OrderedDict()
        self._news = asyncio.Event()

    async def make(self, server: Server, root: Any, namespace: int, events: Any) -> None:
        """Adds nodes, methods and what happens when a PLC writes."""
        name = self.channel.camera
        self.nodes = CameraNodes(namespace)
        await self.nodes.make(server, root, name, events)
        await self.nodes.add_method(
            self.nodes.automatic,
            name,
            "StartSingleJob",
            self._start,
            [("measId", _T.String), ("partId", _T.String), ("recipeId", _T.String), ("productId", _T.String)],
            [("jobId", _T.String), ("sequence", _T.UInt16), ("error", _T.Int32)],
        )
        await self.nodes.add_method(
            self.nodes.results,
            name,
            "GetResultById",
            self._get,
            [("resultId", _T.String)],
            [
                ("jobId", _T.String),
                ("partId", _T.String),
                ("resultState", _T.Int32),
                ("verdict", _T.UInt16),
                ("reason", _T.String),
                ("error", _T.Int32),
            ],
        )
        await self.nodes.add_method(
            self.nodes.results,
            name,
            "AcknowledgeResults",
            self._acknowledge,
            [("sequence", _T.UInt16)],
            [("error", _T.Int32)],
        )
        self._listen(server)
        self.channel.on_change = self._changed
        self._changed(self.channel)

    async def tell(self) -> None:
        """Writes changes into the address space for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.nodes.show(self.channel.signals)

    def _changed(self, channel: Channel) -> None:
        signals = channel.signals
        if signals.result_valid:
            self._results[str(result_of(signals)["ResultId"])] = signals
            while len(self._results) > self._keep:
                self._results.popitem(last=False)
        self._news.set()

    def _listen(self, server: Server) -> None:
        """A write of a sequence number is an event of the handshake, the same value as before included."""
        part_id = server.get_node(self.nodes.writable("PartId"))

        def written(take: Any) -> Any:
            def setter(node: Any, attribute: Any, value: ua.DataValue) -> None:
                node.attributes[attribute].value = value
                if value.Value is not None:  # its type has been checked
                    take(int(value.Value.Value))

            return setter

        def trigger(sequence: int) -> None:
            value = server.read_attribute_value(part_id.nodeid).Value
            self.channel.deliver(Trigger(sequence=sequence, part_id="" if value is None else _text(value.Value)))

        def acknowledge(sequence: int) -> None:
            self.channel.deliver(Acknowledge(sequence=sequence))

        for name, take in (("TriggerSequence", trigger), ("AckSequence", acknowledge)):
            server.set_attribute_value_setter(self.nodes.writable(name), written(take))

    @uamethod
    def _start(self, _parent: Any, meas: str, part: str, recipe: str, product: str) -> tuple[str, int, int]:  # noqa: ARG002
        """The station chooses the number, so a call that is repeated is another job: refused while one is at work."""
        signals = self.channel.signals
        if self.channel.rules.mode is Mode.FOLLOWING or not signals.ready:
            return "", 0, NOT_READY
        self.channel.deliver(Trigger(sequence=signals.next_sequence, part_id=_text(part)))
        return job_id(self.channel.signals), self.channel.signals.accepted_sequence, OK

    @uamethod
    def _get(self, _parent: Any, result_id: str) -> tuple[str, str, int, int, str, int]:
        signals = self._results.get(_text(result_id))
        if signals is None:
            return "", "", 0, 0, "", NO_RESULT
        result = result_of(signals)
        return result["JobId"], result["PartId"], result["ResultState"], result["Verdict"], result["Reason"], OK

    @uamethod
    def _acknowledge(self, _parent: Any, sequence: int) -> int:
        if not self.channel.signals.result_valid or self.channel.signals.result_sequence != sequence:
            return NO_RESULT
        self.channel.deliver(Acknowledge(sequence=sequence))
        return OK


def _text(value: Any) -> str:
    return value[:256] if isinstance(value, str) else ""


def _free(host: str, port: int) -> int:
    """A port that can be had: port 0 must be known before the endpoint is described."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise OSError(
            f"[outputs.opcua] listen: {host}:{port} cannot be had ({error.strerror}); is another station running?"
        ) from None

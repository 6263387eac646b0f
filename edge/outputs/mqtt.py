"""MQTT: the station is a client of a broker. State retained, results with an expiry, a last will.

While the broker is away nothing is queued: when it is back, the present state is told, and a result only if it is still
being shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence

from edge.outputs import messages
from edge.outputs.channel import Channel
from edge.outputs.contract import MissingPackageError, Output, OutputLostError, OutputState, Served
from edge.outputs.messages import OFFLINE, ONLINE, BadMessageError, Topics
from edge.outputs.settings import MqttSettings
from edge.outputs.signals import Signals

try:
    import aiomqtt
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
except ImportError:
    raise MissingPackageError("mqtt", "aiomqtt") from None

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0
"""For the broker's answer to anything."""
_MOST_RESULTS_WAITING = 256
_GOODBYE_SECONDS = 1.0


class MqttOutput(Output):
    """A client of the broker in the settings.

    Raises:
        OSError: the password or a certificate cannot be read.
    """

    name = "mqtt"

    def __init__(self, settings: MqttSettings) -> None:
        self._settings = settings
        self._scolded: set[str] = set()
        self._password: str | None = None
        if settings.password_file is not None:
            self._password = settings.password_file.read_text(encoding="utf-8").strip("\r\n")
        self._tls: ssl.SSLContext | None = None
        if settings.tls:
            self._tls = ssl.create_default_context(cafile=settings.ca_file)
            if settings.client_certificate is not None:
                self._tls.load_cert_chain(settings.client_certificate, settings.client_key)

    async def serve(self, served: Served) -> None:
        """Connects, tells and listens until cancelled or until the broker goes."""
        served.listening("")
        settings = self._settings
        topics = Topics(root=settings.topic, station=served.station)
        where = f"the broker at {settings.host}:{settings.port}"
        try:
            async with self._client(topics) as client:
                for channel in served.channels:
                    for what in ("trigger", "ack"):
                        await client.subscribe(topics.of(channel.camera, what), qos=settings.qos)
                teller = _Teller(client, topics, settings, served.channels)
                await client.publish(topics.status, ONLINE, qos=settings.qos, retain=True)
                served.report(OutputState.CONNECTED, where)
                telling = asyncio.create_task(teller.run())
                try:
                    await self._listen(client, topics, served.channels, telling)
                finally:
                    telling.cancel()
                    await asyncio.wait((telling,))
                    client.timeout = _GOODBYE_SECONDS  # of the library's own goodbye as well
                    with contextlib.suppress(aiomqtt.MqttError, asyncio.TimeoutError):
                        await client.publish(topics.status, OFFLINE, qos=settings.qos, retain=True)
        except (aiomqtt.MqttError, OSError) as error:
            raise OutputLostError(f"{where}: {error}") from None

    @contextlib.asynccontextmanager
    async def _client(self, topics: Topics) -> AsyncIterator[aiomqtt.Client]:
        settings = self._settings
        version = aiomqtt.ProtocolVersion.V5 if settings.version == "5" else aiomqtt.ProtocolVersion.V311
        async with aiomqtt.Client(
            settings.host,
            settings.port,
            username=settings.username or None,
            password=self._password,
            identifier=f"lineside-{topics.station}",
            protocol=version,
            will=aiomqtt.Will(topics.status, OFFLINE, qos=settings.qos, retain=True),
            clean_session=True if version is aiomqtt.ProtocolVersion.V311 else None,
            keepalive=settings.keepalive_seconds,
            timeout=TIMEOUT_SECONDS,
            tls_context=self._tls,
            max_queued_incoming_messages=1024,
        ) as client:
            yield client

    async def _listen(
        self,
        client: aiomqtt.Client,
        topics: Topics,
        channels: Sequence[Channel],
        telling: asyncio.Task[None],
    ) -> None:
        by_topic = {
            topics.of(channel.camera, what): (channel, what) for channel in channels for what in ("trigger", "ack")
        }

        async def listen() -> None:
            async for message in client.messages:
                found = by_topic.get(str(message.topic))
                if found is not None:
                    self._take(message, *found)

        listening = asyncio.create_task(listen())
        try:
            done, _ = await asyncio.wait((listening, telling), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            listening.cancel()
            await asyncio.wait((listening,))

    def _take(self, message: aiomqtt.Message, channel: Channel, what: str) -> None:
        topic = str(message.topic)
        payload = message.payload if isinstance(message.payload, (bytes, bytearray)) else b""
        try:
            if message.retain:
                raise BadMessageError("it is retained: a trigger or an ack of before says nothing about now")
            read = messages.read_trigger if what == "trigger" else messages.read_ack
            event = read(bytes(payload))
        except BadMessageError as error:
            if topic not in self._scolded:  # once a topic: whoever sends such things sends many
                self._scolded.add(topic)
                logger.warning("output mqtt: a message on %s is ignored: %s", topic, error)
            return
        channel.deliver(event)


class _Teller:
    """Publishes what changes, in order; of each camera's states only the newest."""

    def __init__(
        self,
        client: aiomqtt.Client,
        topics: Topics,
        settings: MqttSettings,
        channels: Sequence[Channel],
    ) -> None:
        self._client = client
        self._topics = topics
        self._settings = settings
        self._results: deque[tuple[str, Signals]] = deque(maxlen=_MOST_RESULTS_WAITING)
        self._states: dict[str, Signals] = {}
        self._last_result: dict[str, tuple[int, int]] = {}
        self._news = asyncio.Event()
        self._expiry: Properties | None = None
        if settings.version == "5":
            self._expiry = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            self._expiry.MessageExpiryInterval = max(1, round(settings.ack_seconds))
        for channel in channels:
            channel.on_change = self._changed
            self._changed(channel)

    def _changed(self, channel: Channel) -> None:
        signals = channel.signals
        if signals.result_valid:
            key = (signals.result_sequence, signals.judged_unix_ns)
            if self._last_result.get(channel.camera) != key:
                self._last_result[channel.camera] = key
                self._results.append((channel.camera, signals))
        else:
            self._last_result.pop(channel.camera, None)
        self._states[channel.camera] = signals
        self._news.set()

    async def run(self) -> None:
        """Publishes for ever."""
        qos = self._settings.qos
        while True:
            await self._news.wait()
            self._news.clear()
            states, self._states = self._states, {}
            # The results first: a state that says there is one must not come before it.
            while self._results:
                camera, signals = self._results.popleft()
                await self._client.publish(
                    self._topics.of(camera, "result"),
                    messages.result_payload(signals),
                    qos=qos,
                    properties=self._expiry,
                )
            for camera, signals in states.items():
                await self._client.publish(
                    self._topics.of(camera, "state"), messages.state_payload(signals), qos=qos, retain=True
                )

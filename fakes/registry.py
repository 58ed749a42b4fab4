"""FakeRegistry: the real application over memory, with helpers to fill, inspect and reset it."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from v1registry import MemoryStorage
from v1registry.accounts.backends.environ import Environ
from v1registry.errors import RepositoryNotFound
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.settings import SERVE_SETTINGS, RegistryOptions, SettingsError

from .accounts import AccountHelpers
from .clock import FakeClock
from .distribution import DistributionHelpers
from .faults.broken_storage import BrokenStorage
from .faults.failing_registry import FailingRegistry
from .faults.faults import FaultHelpers, Faults
from .faults.gate import FaultGate
from .filling import FillingHelpers
from .images import FakeImage, FakeImages
from .lookup import Tags, not_there, split_name, without_host
from .profiles import ProfiledApplication, ProfileName, profile_of
from .pushing.oci_pusher import OciPusher
from .pushing.pusher import ADMINISTRATOR_KEY, Pusher
from .recording.expectations import RequestExpectations
from .recording.recorder import Recorder, WatchedRegistry
from .recording.request_log import RequestLog
from .server import LiveServer
from .transcripts.transcriber import RecordingHelpers, Transcriber
from .ways_in import WaysIn

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from typing_extensions import Unpack

#: The maximum of lines of each kind in a description.
_DESCRIBED = 30


class FakeRegistry(
    FillingHelpers,
    WaysIn,
    AccountHelpers,
    DistributionHelpers,
    FaultHelpers,
    RecordingHelpers,
    RequestExpectations,
):
    """A registry for one test, in memory and empty at first, for v1 and ``/v2/``. Safe for threads.

    Clients reach it in process by :attr:`app`, or over TCP at :attr:`url`. It is a context manager: leaving
    it stops the live port, and calls :meth:`check` unless the block failed.

    :param tls: whether the live port uses https; see :attr:`ca_file`.
    :param server: the live port to use. If None, the fake starts one at the first use of :attr:`url` or
        :attr:`host`.
    :param profile: the registry in whose ways the fake answers: ``docker-registry-0.6``,
        ``docker-registry-0.9.1``, ``quay`` or ``hub``. A profile has settings too; ``options`` go before.
    :param options: settings of the registry, see :class:`v1registry.Settings`. OAuth works over plain http
        unless ``oauth_http`` says otherwise. With ``auth="users:"`` password hashes are cheap.
    :raises SettingsError: lists everything that is wrong with the options.

    >>> with FakeRegistry() as registry:
    ...     base = registry.add_image("alice/base", files={"bin/sh": b"..."})
    ...     app = registry.add_image("alice/app:1.0", files={"app.py": "pass"}, parent=base)
    ...     registry.images[app.id].ancestry == [app.id, base.id]
    True
    """

    def __init__(
        self,
        *,
        tls: bool = False,
        server: LiveServer | None = None,
        profile: ProfileName | None = None,
        **options: Unpack[RegistryOptions],
    ):
        problems = [f"{name}: is for v1registry serve; a fake chooses its live port itself"
                    for name in SERVE_SETTINGS if name in options]  # fmt: skip
        if problems:
            raise SettingsError(problems)
        self._profile = None if profile is None else profile_of(profile)
        self._options = options if self._profile is None else {**self._profile.options, **options}
        #: the time of this registry, which a test may move; :meth:`reset` puts it back
        self.clock = FakeClock()
        self._faults = Faults()
        registry = self._make_application()
        self._recorder = Recorder(registry, self._gate(registry), clock=self.clock)
        self._transcriber = Transcriber(self._recorder)
        self._server = server or LiveServer(tls=tls)
        self._stops_server = server is None
        self._is_open = True
        self._server.mount(self.app)

    def _make_application(self) -> FailingRegistry:
        self.storage = MemoryStorage(clock=self.clock)
        self._served_storage = BrokenStorage(self.storage)
        users = self._users()
        options: RegistryOptions = {"oauth_http": "allow", "v2": "on", **self._options}
        if users is not None and options.get("auth") == "users:":
            options["auth"] = users
        application = FailingRegistry(self._served_storage, clock=self.clock, **options)
        images = FakeImages(self.storage)
        if application.has_accounts:
            # the helpers push as an administrator: a second application over the same storage
            helpers = Environ(ADMINISTRATOR_KEY, administrator=lambda environ: True)
            filled: WatchedRegistry = WatchedRegistry(
                self.storage, clock=self.clock, auth=helpers, v2=application.settings.v2
            )
        else:
            filled = application
        self._pusher = Pusher(filled, images, has_accounts=application.has_accounts)
        self._oci_pusher = OciPusher(filled, self.storage)
        return application

    def _gate(self, registry: FailingRegistry) -> FaultGate:
        application = None if self._profile is None else ProfiledApplication(registry, self._profile)
        return FaultGate(registry, self._faults, self._served_storage, self.clock, application)

    # -- access for clients

    @property
    def app(self) -> WSGIApplication:
        """The WSGI application.

        It records each request in :attr:`requests`, and stays the same after a reset.
        """
        return self._transcriber

    @property
    def url(self) -> str:
        """The URL of the live port, ``http://127.0.0.1:PORT``. The port is started at the first use.

        :raises RuntimeError: the fake is closed.
        """
        return self._live_server().url

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT`` of the live port, as in front of the name of an image.

        The port is started at the first use.

        :raises RuntimeError: the fake is closed.
        """
        return self._live_server().host

    @property
    def ca_file(self) -> str:
        """The path of the certificate to trust, for ``verify=`` of requests.

        :raises ValueError: the live port has no TLS.
        :raises RuntimeError: the fake is closed.
        """
        return self._live_server().ca_file

    def _live_server(self) -> LiveServer:
        if not self._is_open:
            raise RuntimeError("this FakeRegistry is closed, so it has no live port")
        return self._server

    # -- its contents

    def image(self, name: str) -> FakeImage:
        """Return the image of ``NAMESPACE/REPOSITORY:TAG``.

        :raises NotThere: there is no such repository or tag; lists the existing ones.
        """
        repository, tag = split_name(name)
        return self.images[self.tags(repository)[tag]]

    def tags(self, repository: str) -> Tags:
        """Return tag -> image id of a repository.

        :raises NotThere: there is no such repository; lists the existing ones.
        """
        try:
            found = Repositories(self.storage).tags(RepositoryName.parse(without_host(repository)))
        except RepositoryNotFound:
            raise not_there(f"no repository {repository!r}", self.repositories) from None
        return Tags(repository, found)

    @property
    def repositories(self) -> list[str]:
        """The names of all repositories, sorted, with their namespace: ``library/ubuntu``."""
        return sorted(map(str, Repositories(self.storage).all()))

    @property
    def requests(self) -> RequestLog:
        """The requests of clients in the order of arrival. The helpers of this class are not recorded."""
        return self._recorder.requests

    def describe(self) -> str:
        """Return the requests and the contents in some lines, for the report of a failed test."""
        lines = [f"asked: {len(self.requests) or 'nothing'}"]
        if len(self.requests) > _DESCRIBED:
            lines.append("  ...")
        lines += [f"  {request.describe()}" for request in self.requests[-_DESCRIBED:]]
        if self.faults:
            lines.append(f"faults: {len(self.faults)}")
            lines += [f"  {fault} (hit {fault.count})" for fault in self.faults[:_DESCRIBED]]
        try:
            lines += self._describe_contents()
        except Exception as error:  # noqa: BLE001  a broken registry is reported, not raised
            lines.append(f"there: unknown, because of {error!r}")
        return "\n".join(lines)

    def _describe_contents(self) -> list[str]:
        images = list(self.images.values())
        lines = [f"there: {len(self.repositories)} repositories, {len(images)} images"]
        for repository in self.repositories[:_DESCRIBED]:
            tags = self.all_tags(repository)
            lines += [f"  {repository}:{tag} {tags[tag]}" for tag in sorted(tags)[:_DESCRIBED]]
            if not tags:
                lines.append(f"  {repository} without tags")
        unfinished = [image.id for image in images if not image.is_complete]
        return [*lines, *(f"  image in progress {image_id}" for image_id in unfinished[:_DESCRIBED])]

    # -- reset, check and close

    def reset(self) -> None:
        """Remove everything stored, all requests and all faults, and put the clock back.

        Options, :attr:`app` and :attr:`url` stay the same.

        A request that is in progress continues with the old contents, and does not change the new ones.
        """
        self.faults.clear()
        self.clock.reset()
        registry = self._make_application()
        self._recorder.serve(registry, self._gate(registry))
        self._recorder.requests.clear()
        self._recorder.failed.clear()

    def check(self) -> None:
        """Return if the registry had no unexpected error. Each error is reported once.

        Answers that reject a request are not errors, whatever their status.

        :raises AssertionError: lists the requests with an unexpected error.
        """
        failed = self._recorder.failed[:]
        self._recorder.failed.clear()
        if failed:
            lines = [f"{request}\n    {type(request.error).__name__}: {request.error}" for request in failed]
            raise AssertionError(
                "The registry itself failed in these requests, which is not the fault of the test:\n"
                + "".join(f"  {line}\n" for line in lines)
                + self.describe()
            ) from failed[0].error

    def close(self) -> None:
        """Undo all faults and stop the live port.

        The contents and the requests can still be read, but not the large bodies of requests.

        Closing twice has no effect.
        """
        if not self._is_open:
            return
        self._is_open = False
        self.faults.clear()
        self._server.unmount()
        if self._stops_server:
            self._server.stop()
        self._recorder.requests.close()

    def __enter__(self) -> FakeRegistry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            self.check()

    def __repr__(self) -> str:
        place = f" at {self._server.url}" if self._is_open and self._server.is_running else ""
        return f"<FakeRegistry{place}: {len(self.images)} images in {len(self.repositories)} repositories>"

"""The memory of ``serve`` after many log-ins at once."""

from __future__ import annotations

import base64
import re
import socket
from contextlib import ExitStack
from pathlib import Path

from support.raw_connection import RawConnection, request_bytes
from support.wsgi_servers import SERVE

LOGINS = 200

#: A log-in needs 19 MiB for a moment. What glibc would keep of that is more than 300 MiB on two processors.
GROWTH_LIMIT_KIB = 120 << 10


def test_memory_of_passwords_goes_back_to_the_system(tmp_path: Path) -> None:
    server = SERVE.start(tmp_path, tmp_path / "registry", settings={"V1REGISTRY_AUTH": "users:"})
    with server.program as program, ExitStack() as stack:

        def resident_kib() -> int:
            texts = [Path(f"/proc/{process}/status").read_text() for process in program.processes()]
            return sum(int(size) for text in texts for size in re.findall(r"VmRSS:\s+(\d+) kB", text))

        def log_in(number: int) -> RawConnection:
            # each from another address, because an address has a limit of failed log-ins
            client = stack.enter_context(socket.socket())
            client.settimeout(120)
            client.bind((f"127.1.{number // 200}.{number % 200 + 1}", 0))
            client.connect(("127.0.0.1", program.port))
            basic = base64.b64encode(f"user{number}:wrong-password".encode()).decode()
            client.sendall(request_bytes("GET", "/v1/users/", {"Authorization": f"Basic {basic}"}))
            return RawConnection(client)

        assert log_in(LOGINS).read_answer("GET").status == 401
        before_kib = resident_kib()
        clients = [log_in(number) for number in range(LOGINS)]
        assert {client.read_answer("GET").status for client in clients} == {401}
        assert resident_kib() - before_kib < GROWTH_LIMIT_KIB

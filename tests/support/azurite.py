"""Azurite for tests: Microsoft's own server with the interface of Azure Blob Storage."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from support.programs import PROJECT, TIED, Program

#: The account and key that everybody knows: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_MAIN = PROJECT / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


#: Azurite removes the bytes of replaced blobs every 10 minutes, and does not answer meanwhile: for seconds if
#: they are many. So it does that more often.
_OFTEN = f"""
require("{_MAIN.parent}/utils/constants.js").DEFAULT_GC_INTERVAL_MS = 5000;
"""


class Azurite:
    """A running Azurite that keeps blobs in memory; a context manager.

    :param folder: where it may write.
    """

    environment: ClassVar[Mapping[str, str]] = {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": KEY,
    }

    def __init__(self, folder: Path) -> None:
        self.require()
        folder.mkdir(parents=True, exist_ok=True)
        often = folder / "often.js"
        often.write_text(_OFTEN)
        self._program = Program(
            [
                *TIED, "node", "--require", str(often), str(_MAIN), "--silent", "--inMemoryPersistence",
                "--skipApiVersionCheck", "--disableTelemetry", "--blobHost", "127.0.0.1", "--blobPort", "0",
            ],
            folder=folder,
        )  # fmt: skip

    @staticmethod
    def require() -> None:
        """Skip the test if a program is missing."""
        if shutil.which("node") is None or not _MAIN.exists():
            pytest.skip("needs node, and azurite in node_modules: npm install --no-save azurite")

    @property
    def url(self) -> str:
        """The endpoint of the account."""
        return f"{self._program.url}/{ACCOUNT}"

    def stop(self) -> None:
        """End the process."""
        self._program.kill()

    def __enter__(self) -> Azurite:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

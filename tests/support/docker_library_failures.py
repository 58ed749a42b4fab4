"""Which integration tests of docker's library for Python fail against FakeEngine, and why.

Files that need what the engine does not simulate are left out as a whole: building, plugins, and swarm with
its services, nodes, secrets and configs (remote.md 11). So are those that need no engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Reason -> names of the tests.
FAILURES: Final[Mapping[str, tuple[str, ...]]] = {
    "volumes and folders of the host hold no files (remote.md 10)": (
        "ContainerCollectionTest.test_run_with_named_volume",
        "ContainerCollectionTest.test_run_with_volume",
        "VolumeBindTest.test_create_with_binds_ro",
        "VolumeBindTest.test_create_with_binds_rw",
        "VolumeBindTest.test_create_with_mounts",
        "VolumeBindTest.test_create_with_mounts_ro",
    ),
    "building is not simulated (remote.md 11)": (
        "ImageCollectionTest.test_build",
        "ImageCollectionTest.test_build_with_error",
        "ImageCollectionTest.test_build_with_multiple_success",
        "ImageCollectionTest.test_build_with_success_build_output",
    ),
    "swarm is not simulated (remote.md 11)": (
        "TestNetworks.test_create_inspect_network_with_scope",
        "TestNetworks.test_create_network_attachable",
        "TestNetworks.test_create_network_ingress",
    ),
    "containers do not find each other by name: nothing is sent over networks (remote.md 9)": (
        "TestNetworks.test_connect_with_links",
        "TestNetworks.test_create_with_links",
    ),
    "attaching by a web socket is not simulated (remote.md 11)": (
        "AttachContainerTest.test_run_container_reading_socket_ws",
    ),
    "asking a registry for an image is not simulated (remote.md 11)": (
        "InspectDistributionTest.test_inspect_distribution",
    ),
    "health checks do not run (remote.md 5.1)": ("HealthcheckTest.test_healthcheck_fails",),
    "the registry of the suite has no image with the digest of Docker Hub": (
        "ImageCollectionTest.test_pull_with_sha",
    ),
    "Docker Hub says denied of what it does not have, and the registry of the suite unknown": (
        "ContainerCollectionTest.test_run_with_image_that_does_not_exist",
    ),
    "the commands of the suite get the files of a container, but not its empty folders": (
        "ArchiveTest.test_copy_directory_to_container",
    ),
}

#: Reason -> names of tests that are left out, because they pass or fail by chance.
LEFT_OUT: Final[Mapping[str, tuple[str, ...]]] = {
    "the test looks for a file that the container may not have written yet": (
        "models_containers_test.py::ContainerTest::test_exec_run_success",
    ),
}

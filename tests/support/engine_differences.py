"""What FakeEngine answers differently from docker's engine 20.10, and why: the table of the engines' suite.

The keys are the name of the test and the question in it. The answers of docker are in engine_answers.json.
"""

from __future__ import annotations

from typing import Final

from .parity import Difference, Differences

_BAD_INPUT: Final = "20.10 takes invalid input for its own failure (500); later releases answer 400"
_LOWEST: Final = "1.24 is the lowest version of the fake, as it is of releases since 25 (remote.md 2)"
_SIZES: Final = "the size of a layer is that of its archive, in place of the sum of its files"

FAKE_ENGINE: Final[Differences] = {
    ("version", "MinAPIVersion"): Difference("1.24", _LOWEST),
    ("version", "components"): Difference(
        ["Engine"], "nothing runs beside the engine: no containerd, runc or init"
    ),
    ("versions", "1.11"): Difference(
        [
            400,
            "client version 1.11 is too old. Minimum supported API version is 1.24, "
            "please upgrade your client to a newer version",
        ],
        _LOWEST,
    ),
    ("versions", "1"): Difference(
        [400, "the version in the path must be a version such as 1.41, not '1'"], _LOWEST
    ),
    ("malformed_filters", "{ of /images/json"): Difference(400, _BAD_INPUT),
    ("malformed_filters", "[] of /images/json"): Difference(400, _BAD_INPUT),
    ("malformed_filters", '{"label":"x"} of /images/json'): Difference(400, _BAD_INPUT),
    ("malformed_filters", '{"label":{"a":1}} of /images/json'): Difference(400, _BAD_INPUT),
    ("malformed_filters", "{ of /containers/json"): Difference(400, _BAD_INPUT),
    ("malformed_filters", "[] of /containers/json"): Difference(400, _BAD_INPUT),
    ("malformed_filters", '{"label":"x"} of /containers/json'): Difference(400, _BAD_INPUT),
    ("malformed_filters", '{"label":{"a":1}} of /containers/json'): Difference(400, _BAD_INPUT),
    ("malformed_filters", "{ of /networks"): Difference(400, _BAD_INPUT),
    ("malformed_filters", "[] of /networks"): Difference(400, _BAD_INPUT),
    ("malformed_filters", '{"label":"x"} of /networks'): Difference(400, _BAD_INPUT),
    ("malformed_filters", '{"label":{"a":1}} of /networks'): Difference(400, _BAD_INPUT),
    ("values_of_filters", "before of containers/json"): Difference([404, "No such container: x"], _BAD_INPUT),
    ("values_of_filters", "exited of containers/json"): Difference(
        [400, 'strconv.Atoi: parsing "x": invalid syntax'], _BAD_INPUT
    ),
    ("values_of_filters", "publish of containers/json"): Difference(
        [200, []], "a port that does not exist matches nothing"
    ),
    ("values_of_filters", "since of containers/json"): Difference([404, "No such container: x"], _BAD_INPUT),
    ("values_of_filters", "dangling of networks"): Difference(
        [400, "Invalid filter 'dangling=[x]'"], "one text for all filters that are true or false"
    ),
    ("values_of_filters", "type of networks"): Difference([200, []], "an unknown type matches nothing"),
    ("parameters", "events since=x"): Difference(
        [400, 'failed to parse value as time or duration: "x"'], _BAD_INPUT
    ),
    ("parameters", "events until=x"): Difference(
        [400, 'failed to parse value as time or duration: "x"'], _BAD_INPUT
    ),
    ("parameters", "containers limit=x"): Difference(
        [400, 'strconv.ParseInt: parsing "x": invalid syntax'], _BAD_INPUT
    ),
    ("bodies", "no JSON to containers/create"): Difference(400, _BAD_INPUT),
    ("bodies", "a list to containers/create"): Difference(400, _BAD_INPUT),
    ("list", "Size"): Difference(10240, _SIZES),
    ("list", "VirtualSize"): Difference(10240, _SIZES),
    ("inspect", "Size"): Difference(10240, _SIZES),
    ("inspect", "VirtualSize"): Difference(10240, _SIZES),
    ("history", "steps"): Difference(
        [
            {
                "Comment": "Imported from -",
                "CreatedBy": "",
                "Id": "IMAGE",
                "Size": 10240,
                "Tags": ["parity/one:1.0", "parity/other:latest"],
            }
        ],
        _SIZES,
    ),
    ("tag", "repo=Upper"): Difference(
        [400, "invalid reference format: repository name must be lowercase"], _BAD_INPUT
    ),
    ("tag", "repo="): Difference([400, "invalid reference format"], _BAD_INPUT),
    ("tag", "tag=1"): Difference([400, "invalid reference format"], _BAD_INPUT),
    ("tag", "repo=a&tag=-x"): Difference([400, "invalid tag format"], _BAD_INPUT),
    ("tag", "repo=abababababababababababababababababababababababababababababababab"): Difference(
        [
            400,
            "invalid repository name (abababababababababababababababababababababababababababababababab), "
            "cannot specify 64-byte hexadecimal strings",
        ],
        _BAD_INPUT,
    ),
    ("tag", "repo=a b"): Difference([400, "invalid reference format"], _BAD_INPUT),
    ("prune", "dangling"): Difference(
        [200, {"ImagesDeleted": [{"Deleted": "IMAGE"}, {"Deleted": "LAYER"}], "SpaceReclaimed": 10240}],
        _SIZES,
    ),
    ("import", "invalid archive"): Difference(
        [400, "the archive cannot be read: invalid header"], _BAD_INPUT
    ),
    ("pull_names", "nothing"): Difference(400, _BAD_INPUT),
    ("pull_names", "push of a missing image"): Difference(
        200, "later releases take a push without credentials, and the fake does for each release"
    ),
    ("pull_names", "push of a malformed name"): Difference(
        [400, "invalid reference format: repository name must be lowercase"], _BAD_INPUT
    ),
    ("image_events", "events"): Difference(
        [
            ["tag", "IMAGE", {"name": "parity/one:1.0", "a": "b"}],
            ["import", "IMAGE", {"name": "IMAGE", "a": "b"}],
            ["tag", "IMAGE", {"name": "parity/two", "a": "b"}],
            ["save", "IMAGE", {"name": "IMAGE", "a": "b"}],
            ["untag", "IMAGE", {"name": "IMAGE", "a": "b"}],
            ["untag", "IMAGE", {"name": "IMAGE", "a": "b"}],
            ["delete", "IMAGE", {"name": "IMAGE"}],
            ["load", "IMAGE", {"name": "IMAGE", "a": "b"}],
            ["untag", "IMAGE", {"name": "IMAGE", "a": "b"}],
            ["delete", "IMAGE", {"name": "IMAGE"}],
            ["prune", "", {"reclaimed": "10240"}],
        ],
        _SIZES,
    ),
    ("list_containers", '{"name": ["m.de"]}'): Difference(
        [], "names are compared as text: a pattern of a client could take too long (remote.md 5.3)"
    ),
    ("states", "signal 99"): Difference([400, "Invalid signal: 99"], _BAD_INPUT),
    ("states", "invalid time"): Difference(
        [400, 'strconv.ParseInt: parsing "x": invalid syntax'], _BAD_INPUT
    ),
    ("ends", "invalid condition"): Difference([400, 'invalid condition: "x"'], "later releases reject it"),
    ("ends", "type of logs"): Difference("application/vnd.docker.raw-stream", "later releases send the type"),
    ("ends", "logs with stdout=1&since=x"): Difference(
        [400, 'failed to parse value as time or duration: "x"'], _BAD_INPUT
    ),
    ("ends", "logs with stdout=1&until=x"): Difference(
        [400, 'failed to parse value as time or duration: "x"'], _BAD_INPUT
    ),
    ("exec", "text"): Difference(
        [400, "No exec command specified"], "the texts of Go's JSON parser are not imitated"
    ),
    ("exec", "again"): Difference(
        [409, "Error: Exec command EXEC has already run"],
        "20.10 takes over the connection before it looks; later releases answer 409",
    ),
    ("files", "write to path=/etc/motd"): Difference(
        [400, "extraction point is not a directory"], _BAD_INPUT
    ),
    ("files", "no archive"): Difference(400, _BAD_INPUT),
    ("files", "export"): Difference(
        ["application/octet-stream", ["srv", "srv/deep/er", "srv/new"]],
        "folders that an archive does not have are not made up",
    ),
    ("files", "commit of container=one&repo=Upper"): Difference(
        [400, "invalid reference format: repository name must be lowercase"], _BAD_INPUT
    ),
    ("names_and_removal", "updated"): Difference({"Name": "always"}, "a policy is kept as it came"),
}

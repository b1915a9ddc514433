"""Tests of `make release`: the checks before the build, and files with the same bytes in every build."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from samtranslator.yaml_helper import yaml_parse

from service_keys import __version__
from tests.support.processes import ROOT
from tests.support.repository import commit_all, git
from tools import release
from tools.release import PACKAGE, STORED_ITEMS, Build, Commit, ReleaseError, Tools
from tools.release_bundle import Entry, bundled_template, code_folders, folder_entries, write_zip

if TYPE_CHECKING:
    from collections.abc import Callable

VENVS = (Path("/venv/bin/python"), Path("/venv-package/bin/python"))
CHANGELOG = (
    "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2030-12-31\n\n- Added.\n\n## [1.2.2] - 2030-01-01\n\n- Older.\n"
)
FILES = {
    str(PACKAGE): '"""The package."""\n\n__version__ = "1.2.3"\n',
    "template.yaml": 'Mappings:\n  # >>> version: x\n  ServiceKeys: {Release: {Version: "1.2.3"}}\n  # <<<\n',
    "openapi.yaml": "openapi: 3.1.0\ninfo:\n  title: Service Keys\n  version: 1.2.3\n  summary: x\npaths: {}\n",
    "CHANGELOG.md": CHANGELOG,
    f"{STORED_ITEMS}/1.2.3.json": "{}\n",
}
EPOCH = 1_900_000_000


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files that agree on version 1.2.3."""
    for name, text in FILES.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "tree"


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """Tools with a stand-in for Lambda's Python."""
    python = tmp_path / "python3.13"
    python.write_text("#!/bin/sh\necho 3.13\n")
    python.chmod(0o755)
    return Tools(*VENVS, str(python), "")


@pytest.fixture
def repository(tree: Path) -> Path:
    """A repository with one commit, of these files."""
    commit_all(tree)
    return tree


def problems(tree: Path) -> list[str]:
    return list(release.disagreements(tree))


def test_the_places_of_this_tree_have_the_same_version() -> None:
    """Compare the package, the template and openapi.yaml; the other places belong to a release."""
    assert [problem for problem in problems(ROOT) if problem.startswith(("template.yaml", "openapi.yaml"))] == []
    assert release.package_version(ROOT) == __version__


def test_a_tree_whose_places_agree_passes(repository: Path, tools: Tools) -> None:
    """Return the version and the commit with its time."""
    version, commit = release.check(repository, tools)

    assert version == "1.2.3"
    assert (len(commit.id), commit.time > 0) == (40, True)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (str(PACKAGE), "1.2.3", "1.2.4", "template.yaml has version 1.2.3, and the package 1.2.4: run make template"),
        (str(PACKAGE), "1.2.3", "1.2.4", "openapi.yaml has version 1.2.3, and the package 1.2.4: run make openapi"),
        (str(PACKAGE), "1.2.3", "1.2.4", "CHANGELOG.md begins with 1.2.3: add the heading ## [1.2.4] - <date>"),
        (str(PACKAGE), "1.2.3", "1.2.4", f"{STORED_ITEMS} has no items of 1.2.4, which later versions must read: run"),
        *(
            (str(PACKAGE), "1.2.3", version, f"has version {version}, which is none of a release")
            for version in ("1.2.4.dev0", "1.2.4rc1", "1.2", "v1.2.4", "1.2.04", "1.2.4 ", "")
        ),
        ("template.yaml", "1.2.3", "1.2.3.dev0", "template.yaml has version 1.2.3.dev0, and the package 1.2.3"),
        ("template.yaml", "  ServiceKeys:", "  Other:", "template.yaml has no version, and the package 1.2.3"),
        ("openapi.yaml", "version: 1.2.3", "version: '1'", "openapi.yaml has version '1', and the package 1.2.3"),
        ("openapi.yaml", "  version: 1.2.3\n", "", "openapi.yaml has no version"),
        ("CHANGELOG.md", "[1.2.3] - 2030-12-31", "[1.2.3]", "CHANGELOG.md has no date for 1.2.3: write its heading as"),
        ("CHANGELOG.md", "2030-12-31", "2030-12-32", "CHANGELOG.md has no date for 1.2.3"),
        ("CHANGELOG.md", "2030-12-31", "20301231", "CHANGELOG.md has no date for 1.2.3"),
        ("CHANGELOG.md", "2030-12-31", "Unreleased", "CHANGELOG.md has no date for 1.2.3"),
        ("CHANGELOG.md", "## [1.2.3] - 2030-12-31", "", "CHANGELOG.md has entries under Unreleased: move them under"),
        ("CHANGELOG.md", "## [1.2.3] - 2030-12-31", "", "CHANGELOG.md begins with 1.2.2: add the heading ## [1.2.3]"),
        ("CHANGELOG.md", CHANGELOG[12:], "", "CHANGELOG.md has no release: add the heading ## [1.2.3] - <date>"),
    ],
)
def test_each_place_with_another_version_is_named(tree: Path, name: str, old: str, new: str, message: str) -> None:
    """Name the place and the remedy."""
    text = (tree / name).read_text()
    assert old in text
    (tree / name).write_text(text.replace(old, new, 1))

    found = [problem for problem in problems(tree) if message in problem]

    assert len(found) == 1, problems(tree)
    assert found[0].endswith("commit.")


def test_all_disagreements_are_reported_at_once(repository: Path) -> None:
    """Report the files, the uncommitted changes and the missing Python together."""
    (repository / PACKAGE).write_text('__version__ = "2.0.0.dev0"\n')

    with pytest.raises(ReleaseError) as caught:
        release.check(repository, Tools(*VENVS, "", ""))

    lines = str(caught.value).splitlines()
    places = (str(PACKAGE), "template.yaml", "openapi.yaml", str(STORED_ITEMS), "CHANGELOG.md")
    starts = (*places, "Not committed: ", "There is no Python 3.13")
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * 7


def test_a_package_without_a_version_is_refused(tree: Path, tools: Tools) -> None:
    """Accept only a constant, which flit reads too."""
    (tree / PACKAGE).write_text("__version__ = version()\n")

    with pytest.raises(ReleaseError, match="has no line __version__ = "):
        release.check(tree, tools)


def _change(tree: Path) -> None:
    (tree / "openapi.yaml").write_text(FILES["openapi.yaml"] + "\n")


def _stage(repository: Path) -> None:
    _change(repository)
    git(repository, "add", "--all")


@pytest.mark.parametrize(
    ("act", "named"),
    [
        (_change, "openapi.yaml"),
        (_stage, "openapi.yaml"),
        (lambda tree: (tree / "new.py").touch(), "new.py"),
        (lambda tree: (tree / "CHANGELOG.md").unlink(), "CHANGELOG.md"),
        (lambda tree: [(tree / f"new{n}.py").touch() for n in range(7)], "new4.py and 2 more"),
    ],
    ids=["changed", "staged", "untracked", "deleted", "many"],
)
def test_an_uncommitted_file_is_named(repository: Path, act: Callable[[Path], object], named: str) -> None:
    """Build nothing that is not in the commit."""
    act(repository)

    (problem,) = release.repository_problems(repository, "1.2.3")

    assert problem.startswith("Not committed: ")
    assert problem.endswith(f"{named}. Commit, remove or stash them.")


def test_a_tag_of_another_commit_is_refused(repository: Path) -> None:
    """Never build two releases of one version; a tag of this commit is no problem."""
    git(repository, "tag", "-a", "v1.2.3", "-m", "v1.2.3")
    assert list(release.repository_problems(repository, "1.2.3")) == []

    git(repository, "commit", "--quiet", "--allow-empty", "--no-verify", "-m", "Later")

    (problem,) = release.repository_problems(repository, "1.2.3")
    assert problem.startswith("The tag v1.2.3 is another commit, ")
    assert "run git checkout v1.2.3" in problem


def test_a_tag_of_another_version_is_refused(repository: Path) -> None:
    """Compare the tags of versions only."""
    git(repository, "tag", "v1.2.4")
    git(repository, "tag", "verified")

    (problem,) = release.repository_problems(repository, "1.2.3")

    assert problem.startswith("This commit has the tag v1.2.4, and the package version 1.2.3")


def test_a_folder_without_a_repository_is_refused(
    repository: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Say that a release is built from a commit."""
    shutil.rmtree(repository / ".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repository.parent))

    with pytest.raises(ReleaseError, match="a release is built from a commit: run make release in a clone"):
        release.check(repository, tools)


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("", "There is no Python 3.13, which Lambda runs"),
        ("/made-up/python3.13", "/made-up/python3.13 is no Python 3.13"),
        ("#!/bin/sh\necho 3.12", "is no Python 3.13"),
        ("#!/bin/sh\nexit 1", "is no Python 3.13"),
    ],
)
def test_a_build_without_the_python_of_lambda_is_refused(tmp_path: Path, python: str, message: str) -> None:
    """Build no artifact without bytecode, which every cold start would compile."""
    if python.startswith("#!"):
        script = tmp_path / "python"
        script.write_text(python)
        script.chmod(0o755)
        python = str(script)

    (problem,) = release.missing_tools(Tools(*VENVS, python, ""))

    assert message in problem
    assert problem.endswith("make release RUNTIME_PYTHON=/path/to/python3.13")


def test_the_new_release_replaces_every_old_file(tmp_path: Path) -> None:
    """Leave no file of another version in dist."""
    for folder, name in (("dist", "old"), ("output", "new")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()

    release.replace(tmp_path / "dist", tmp_path / "output")

    assert [path.name for path in (tmp_path / "dist").iterdir()] == ["new"]


def test_a_folder_that_cannot_be_replaced_is_named(tmp_path: Path) -> None:
    """Say what to remove."""
    (tmp_path / "output").mkdir()
    (tmp_path / "dist").touch()

    with pytest.raises(ReleaseError, match=r"dist cannot be replaced: Not a directory\. Remove it, then"):
        release.replace(tmp_path / "dist", tmp_path / "output")


@pytest.mark.parametrize("name", ["git", "make", "tar"])
def test_a_missing_program_is_named(
    repository: Path, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Say which one to install."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for other in {"git", "make", "tar"} - {name}:
        program = shutil.which(other)
        assert program
        (bin_folder / other).symlink_to(program)
    monkeypatch.setenv("PATH", str(bin_folder))

    with pytest.raises(ReleaseError, match=f"There is no {name} on PATH"):
        release.check(repository, tools)


def test_the_build_uses_the_files_of_the_commit(repository: Path, tmp_path: Path) -> None:
    """Leave ignored files out, and ignore the settings of git that would change bytes."""
    git(repository, "config", "core.autocrlf", "true")
    git(repository, "config", "tar.umask", "0077")
    (repository / ".git" / "info" / "exclude").write_text("ignored\n")
    (repository / "ignored").touch()
    target = tmp_path / "out" / "repository"
    target.parent.mkdir()

    release.export(repository, release.head(repository), target)

    found = {str(path.relative_to(target)): path.read_text() for path in target.rglob("*") if path.is_file()}
    assert found == FILES
    assert stat.S_IMODE((target / "openapi.yaml").stat().st_mode) & 0o444 == 0o444
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_command_shows_its_output(tmp_path: Path) -> None:
    """Show nothing of a command that succeeds."""
    script = tmp_path / "script"
    script.write_text("echo why\nexit 3\n")
    with pytest.raises(ReleaseError, match=r"^why\n\nmake build failed; the lines above say why\.$"):
        release.run("make build", ["sh", str(script)], tmp_path, {})


def zipped(path: Path, entries: list[Entry], seconds: int = EPOCH) -> bytes:
    write_zip(path, entries, seconds)
    return path.read_bytes()


def test_zip_files_do_not_depend_on_order_times_and_masks(tmp_path: Path) -> None:
    """Compare two folders whose files were created in another order, at another time, with another umask."""
    names = ["app.py", "a/b.py", "static/z.js", "native.so"]
    for folder, mask, order in (("one", 0o022, names), ("two", 0o077, names[::-1])):
        previous = os.umask(mask)
        try:
            for number, name in enumerate(order):
                path = tmp_path / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(name)
                os.utime(path, (number, number * 100))
            (tmp_path / folder / "native.so").chmod(0o755 & ~mask)
        finally:
            os.umask(previous)

    one, two = (zipped(tmp_path / f"{name}.zip", list(folder_entries(tmp_path / name))) for name in ("one", "two"))

    assert one == two
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == sorted(names)
        modes = {info.filename: stat.S_IMODE(info.external_attr >> 16) for info in archive.infolist()}
        assert modes == dict.fromkeys(names, 0o644) | {"native.so": 0o755}


@pytest.mark.parametrize(("seconds", "moment"), [(EPOCH, (2030, 3, 17, 17, 46, 40)), (0, (1980, 1, 1, 0, 0, 0))])
def test_zip_files_have_the_time_of_the_commit_in_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, moment: tuple[int, ...]
) -> None:
    """Use the first time that a zip file can name for an earlier one."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XYZ-12")
        time.tzset()
        zipped(tmp_path / "x.zip", [Entry("x", b"")], seconds)
    time.tzset()

    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.infolist()[0].date_time == moment


def test_the_template_of_a_bundle_has_zip_files_for_its_code() -> None:
    """Change nothing else, and allow only the architecture of the code."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    source, bundled = yaml_parse(text), yaml_parse(bundled_template(text, "x86_64"))

    parameter = bundled["Parameters"]["Architecture"]
    assert (parameter.pop("Default"), parameter.pop("AllowedValues")) == ("x86_64", ["x86_64"])
    for name in ("Default", "AllowedValues"):
        del source["Parameters"]["Architecture"][name]
    changed = 0
    for template in (source, bundled):
        for name, resource in template["Resources"].items():
            for place in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
                code = resource["Properties"].pop(place)
                assert template is source or code == f"{name}.zip"
                changed += template is bundled
    assert changed == 14
    assert bundled == source


def test_the_code_of_each_function_is_found_after_the_build(tmp_path: Path) -> None:
    """Take functions that `sam build` leaves in their source folder from there."""
    build = tmp_path / ".aws-sam" / "build"
    build.mkdir(parents=True)
    (build / "template.yaml").write_text(
        "Resources:\n"
        "  Built: {Type: AWS::Serverless::Function, Properties: {CodeUri: Built}}\n"
        "  Left: {Type: AWS::Serverless::Function, Properties: {CodeUri: ../../functions/left}}\n"
        "  Layer: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: Layer}}\n"
        "  Other: {Type: AWS::SNS::Topic}\n"
    )

    assert code_folders(build) == {
        "Built": build / "Built",
        "Left": tmp_path / "functions" / "left",
        "Layer": build / "Layer",
    }


def test_the_build_uses_the_environments_of_a_clone(tmp_path: Path) -> None:
    """Leave the clone, whose path has spaces, and the folders around it as they are."""
    clone, work = tmp_path / "my own" / "service keys", tmp_path / "temporary folder"
    pythons = [clone / name / "bin" / "python" for name in (".venv", ".venv-package")]
    for python in pythons:
        python.parent.mkdir(parents=True)
        python.write_text('#!/bin/sh\nmkdir -p dist && echo "$@" >>dist/calls\n')
        python.chmod(0o755)
        (python.parents[1] / "ready").touch()
    (work / "tree" / "tools").mkdir(parents=True)
    for name in ("Makefile", "tools/install.py"):
        shutil.copy(ROOT / name, work / "tree" / name)
    before = sorted(tmp_path.glob("my*/**/*"))
    build = Build(work, Tools(pythons[0], pythons[1], sys.executable, ""), "1.2.3", Commit("0" * 40, EPOCH))

    build.make("package")

    assert (work / "tree" / "dist" / "calls").read_text().startswith("-m build --no-isolation --outdir dist")
    assert sorted(tmp_path.glob("my*/**/*")) == before

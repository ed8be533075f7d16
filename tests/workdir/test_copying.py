"""What a WorkDir copies, and where to."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pydantic
import pytest

from cachedmodel.errors import InfraError
from cachedmodel.workdir import WorkDir


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a package, data and a script, as the working directory."""
    folder = tmp_path / "project"
    write(folder / "pkg/__init__.py", "")
    write(folder / "pkg/core.py", "VALUE = 1\n")
    write(folder / "pkg/data/table.csv", "1,2\n")
    write(folder / "pkg/__pycache__/core.pyc", "")
    write(folder / "pkg/.env", "SECRET=1")
    write(folder / "scripts/run.sh", "#!/bin/sh\n").chmod(0o755)
    write(folder / "train.py", "")
    monkeypatch.chdir(folder)
    return folder


def write(path: Path, text: str) -> Path:
    """A file in folders that are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def listing(folder: Path) -> list[str]:
    """The files and links that the user knows, by path."""
    found = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
    return sorted(path for path in found if path != ".workdir.json")


def copies(base: Path) -> list[str]:
    """All that is in the folder of copies."""
    return sorted(os.listdir(base))


# -- what is copied ---------------------------------------------------------------------------------------------------


def test_files_and_folders_keep_their_place(project: Path, tmp_path: Path) -> None:
    """Relative paths are the same in the copy, data and the right to execute included, junk and hidden files not."""
    copy = WorkDir(copied=["pkg", "scripts/", "train.py"]).prepare(tmp_path / "code")

    assert listing(copy) == ["pkg/__init__.py", "pkg/core.py", "pkg/data/table.csv", "scripts/run.sh", "train.py"]
    assert os.access(copy / "scripts/run.sh", os.X_OK)
    assert not os.access(copy / "train.py", os.X_OK)


def test_the_whole_working_directory(project: Path) -> None:
    """ "." is copied into the root of the copy; copies in it and skipped folders are not copied again."""
    write(project / "cache/big/entry", "x")
    workdir = WorkDir(copied=".")
    first = workdir.prepare("cache2/code", skip=["cache"])
    write(project / "train.py", "changed")
    second = workdir.prepare("cache2/code", skip=[Path("cache")])

    assert first != second
    for copy in (first, second):
        assert copy.parent == project / "cache2/code"
        assert listing(copy) == ["pkg/__init__.py", "pkg/core.py", "pkg/data/table.csv", "scripts/run.sh", "train.py"]


def test_paths_from_elsewhere_are_copied_by_their_last_name(project: Path, tmp_path: Path) -> None:
    """Absolute paths and those with ".."."""
    write(tmp_path / "elsewhere/lib/a.py", "")
    write(tmp_path / "beside/b.py", "")
    copy = WorkDir(copied=[tmp_path / "elsewhere/lib", "../beside", str(project / "train.py")]).prepare("code")

    assert listing(copy) == ["beside/b.py", "lib/a.py", "train.py"]


def test_two_originals_of_one_path_are_refused(project: Path, tmp_path: Path) -> None:
    """Neither is lost without a word; the same file named twice is no conflict."""
    write(tmp_path / "elsewhere/train.py", "")
    with pytest.raises(InfraError, match=r"two files that would both be copied to 'train.py'.*elsewhere"):
        WorkDir(copied=["train.py", tmp_path / "elsewhere/train.py"]).prepare("code")

    assert listing(WorkDir(copied=["train.py", project / "train.py"]).prepare("code")) == ["train.py"]


def test_patterns(project: Path) -> None:
    """Patterns are for names, with a slash for paths; a file that is named is always copied."""
    write(project / "pkg/data/deep/x.py", "")
    only_code = WorkDir(copied=["pkg", "scripts/run.sh"], includes=["*.py"])
    no_data = WorkDir(copied="pkg", excludes=["data/deep", "data/*.csv", "core.py", ".*", "__pycache__"])

    assert listing(only_code.prepare("code")) == [
        "pkg/__init__.py",
        "pkg/core.py",
        "pkg/data/deep/x.py",
        "scripts/run.sh",
    ]
    assert listing(no_data.prepare("code")) == ["pkg/__init__.py"]


def test_nothing_left_is_an_error(project: Path) -> None:
    """Patterns that leave nothing are a mistake."""
    with pytest.raises(InfraError, match=r"'scripts/', but no file in .* is left by includes=\('\*\.py',\)"):
        WorkDir(copied="scripts/", includes="*.py").prepare("code")


def test_links_are_not_followed_out_of_the_tree(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Links inside of what is copied stay links, wherever the copy is; others are left out, with a warning."""
    write(tmp_path / "secret/key", "x")
    os.symlink(tmp_path / "secret/key", project / "pkg/key")
    os.symlink(tmp_path / "secret", project / "pkg/folder")
    os.symlink(project / "pkg/core.py", project / "pkg/alias.py")
    os.symlink("../pkg/data", project / "pkg/more")
    os.symlink(".", project / "pkg/loop")
    os.mkfifo(project / "pkg/pipe")
    copy = WorkDir(copied="pkg").prepare("code")

    assert set(listing(copy)) >= {"pkg/alias.py", "pkg/more"}
    assert not {"pkg/key", "pkg/folder", "pkg/pipe"} & set(os.listdir(copy / "pkg")).union(listing(copy))
    assert os.readlink(copy / "pkg/alias.py") == "core.py"
    assert os.readlink(copy / "pkg/more") == "data"
    assert "pkg/key is not copied: it is a symbolic link that leads out" in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_unreadable_folders_are_an_error(project: Path) -> None:
    """A part that cannot be read is not left out silently."""
    (project / "pkg/data").chmod(0)
    with pytest.raises(PermissionError):
        WorkDir(copied="pkg").prepare("code")


# -- names of modules -------------------------------------------------------------------------------------------------


def test_modules_and_packages_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be imported from a folder is found by its name, parts of packages and namespaces too, unimported."""
    write(tmp_path / "lib/wd_module.py", "raise ImportError")
    write(tmp_path / "lib/wd_package/__init__.py", "raise ImportError")
    write(tmp_path / "lib/wd_package/sub/__init__.py", "")
    write(tmp_path / "lib/wd_package/other.py", "")
    write(tmp_path / "lib/wd_space/one.py", "")
    write(tmp_path / "lib2/wd_space/two.py", "")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.syspath_prepend(tmp_path / "lib2")
    monkeypatch.chdir(tmp_path)

    assert listing(WorkDir(copied=["wd_module", "wd_package.sub", "wd_package.other", "wd_space"]).prepare("code")) == [
        "wd_module.py",
        "wd_package/other.py",
        "wd_package/sub/__init__.py",
        "wd_space/one.py",
        "wd_space/two.py",
    ]


@pytest.mark.parametrize("top_level", ["wd_pack\nwd_more", None])
def test_editable_distributions_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top_level: str | None) -> None:
    """A distribution is found by its name, whether its installer lists its modules or not."""
    info = tmp_path / "site/wd_pack-1.dist-info"
    write(info / "METADATA", "Metadata-Version: 2.1\nName: wd-pack\nVersion: 1\n")
    origin = {"url": (tmp_path / "a project").as_uri(), "dir_info": {"editable": True}}
    write(info / "direct_url.json", json.dumps(origin))
    if top_level is not None:
        write(info / "top_level.txt", top_level)
    write(tmp_path / "a project/src/wd_pack/__init__.py", "")
    write(tmp_path / "a project/src/wd_more/__init__.py", "")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "a project/src")
    monkeypatch.chdir(tmp_path)

    found = listing(WorkDir(copied="wd-pack").prepare("code"))

    assert found == ["wd_more/__init__.py", "wd_pack/__init__.py"][0 if top_level else 1 :]


@pytest.mark.parametrize(
    "name", ["nowhere_to_be_found", "no/such/folder", "no-such-dist", "no.such.module", "pkg.nope"]
)
def test_unknown_names_say_what_was_tried(project: Path, name: str) -> None:
    """Path, module, distribution."""
    with pytest.raises(
        InfraError, match=f"{name!r}, which is no file or folder .*{project / name}.*no module or package"
    ):
        WorkDir(copied=["pkg", name]).prepare("code")

    assert not (project / "code").exists()


@pytest.mark.parametrize("name", ["numpy", "json", "sys", "pydantic.fields"])
def test_installed_packages_are_refused(project: Path, name: str) -> None:
    """Jobs have them anyway."""
    with pytest.raises(InfraError, match=f"{name!r}, which is installed in .*, not editable"):
        WorkDir(copied=name).prepare("code")


# -- where it is copied to --------------------------------------------------------------------------------------------


def test_the_same_code_is_copied_once(project: Path) -> None:
    """Copies are named by content: unchanged or changed back is the same copy; content, mode and place count."""
    workdir = WorkDir(copied=["pkg", "scripts"])
    first = workdir.prepare("code")
    inode = (first / "pkg/core.py").stat().st_ino
    assert workdir.prepare("code") == first
    assert (first / "pkg/core.py").stat().st_ino == inode

    names = {first.name}
    for change in (
        lambda: write(project / "pkg/core.py", "VALUE = 2\n"),
        lambda: (project / "pkg/core.py").chmod(0o755),
    ):
        change()
        names.add(workdir.prepare("code").name)
    assert len(names) == 3
    assert (first / "pkg/core.py").read_text() == "VALUE = 1\n"

    (project / "pkg/core.py").chmod(0o644)
    write(project / "pkg/core.py", "VALUE = 1\n")
    assert workdir.prepare("code") == first
    assert copies(project / "code") == sorted(names)


def test_damaged_copies_are_made_anew(project: Path) -> None:
    """A copy that lost a file, or whose file was changed, is passed over and left to the jobs that run in it."""
    workdir = WorkDir(copied="pkg")
    first = workdir.prepare("code")
    (first / "pkg/core.py").unlink()
    second = workdir.prepare("code")
    write(second / "pkg/core.py", "")
    third = workdir.prepare("code")

    assert len({first, second, third}) == 3
    assert workdir.prepare("code") == third
    assert (third / "pkg/core.py").read_text() == "VALUE = 1\n"


def prepare(folder: Path) -> str:
    """In another process: the name of the copy."""
    os.chdir(folder)
    return WorkDir(copied="pkg").prepare("code").name


def test_concurrent_preparers_share_one_copy(project: Path) -> None:
    """Processes that copy the same code at once get the same copy, and leave nothing else."""
    with ProcessPoolExecutor(4) as pool:
        names = set(pool.map(prepare, [project] * 12))

    assert [*names] == copies(project / "code")


def test_files_follow_the_umask(project: Path) -> None:
    """Neither more nor less than others may read."""
    (project / "pkg/core.py").chmod(0o600)
    before = os.umask(0o027)
    try:
        copy = WorkDir(copied=["pkg", "scripts"]).prepare("code")
    finally:
        os.umask(before)

    assert stat.S_IMODE((copy / "pkg/core.py").stat().st_mode) == 0o640
    assert stat.S_IMODE((copy / "scripts/run.sh").stat().st_mode) == 0o750
    assert stat.S_IMODE((copy / "pkg").stat().st_mode) == 0o750


def test_large_copies_warn(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Data that was not meant to be copied is noticed."""
    with open(project / "pkg/data/table.csv", "wb") as file:
        file.truncate(101 * 2**20)
    WorkDir(copied="pkg").prepare("code")

    assert "The copy of pkg for jobs has 3 files of 0.1 GB: see workdir.includes" in caplog.text


# -- settings ---------------------------------------------------------------------------------------------------------


def test_folder_is_where_copies_are_made(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The field wins over the argument; it is expanded, and absolute from the start."""
    monkeypatch.setenv("WD_BASE", str(tmp_path / "base"))
    workdir = WorkDir(copied="pkg", folder=Path("$WD_BASE/x"))

    assert workdir.folder == str(tmp_path / "base/x")
    assert workdir.prepare("code").parent == tmp_path / "base/x"


@pytest.mark.parametrize("wrong", [{"copied": []}, {"copied": [""]}, {"copied": "a", "include": "*"}, {}])
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    """Nothing to copy and unknown fields."""
    with pytest.raises(pydantic.ValidationError, match=r"copied names nothing|Extra inputs|Field required"):
        WorkDir.model_validate(wrong)


def test_settings_go_through_json() -> None:
    """Dumped and read back it is equal; its repr shows what differs from the defaults."""
    workdir = WorkDir(copied=["a", Path("b")], log_commit=True)

    assert WorkDir.model_validate_json(workdir.model_dump_json()) == workdir
    assert hash(WorkDir.model_validate(workdir.model_dump())) == hash(workdir)
    assert repr(workdir) == "WorkDir(copied=('a', 'b'), log_commit=True)"


# -- commits ----------------------------------------------------------------------------------------------------------


def git(folder: Path, *args: str) -> str:
    """Runs git as somebody."""
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *args], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_commits_are_logged_and_kept(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Commit and state of each part are in the copy; what changed since the commit is dirty, other parts are not."""
    git(project, "init", "-q")
    git(project, "add", "pkg", "scripts")
    git(project, "commit", "-q", "-m", "first")
    write(project / "pkg/core.py", "VALUE = 2\n")
    with caplog.at_level(logging.INFO, "cachedmodel"):
        copy = WorkDir(copied=["pkg", "scripts", "train.py"], log_commit=True).prepare("code")

    commit = git(project, "rev-parse", "HEAD")
    known = {"repository": str(project), "commit": commit}
    assert json.loads((copy / "commits.json").read_text()) == {
        "pkg": {**known, "dirty": True},
        "scripts": {**known, "dirty": False},
        "train.py": {**known, "dirty": True},
    }
    assert f"pkg is copied at commit {commit} of {project}, with changes that are not in it" in caplog.text


def test_commits_that_are_not_there_are_an_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No repository, no commit yet, no git: each says so, and how to go without."""
    workdir = WorkDir(copied="pkg", log_commit=True)
    with pytest.raises(InfraError, match=r"'pkg' .* has no git commit: .*not a git repository.*log_commit=False"):
        workdir.prepare("code")
    git(project, "init", "-q")
    with pytest.raises(InfraError, match="has no git commit: fatal: Needed a single revision"):
        workdir.prepare("code")
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable))
    with pytest.raises(InfraError, match="needs git, which is not installed"):
        workdir.prepare("code")

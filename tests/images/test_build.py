"""The builder: a part is built anew exactly when something that goes into it changed."""

from pathlib import Path

import pytest

from images import build
from images.build import BuildError, Part


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds of these tests stay in their own folder, which also is the checkout."""
    monkeypatch.setenv("CONSUL_DEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "ROOT", tmp_path)


def part(folder: Path, script: str = "cat {source} > {{output}}", needs: tuple[Part, ...] = ()) -> Part:
    """Return a part that copies a file and leaves a mark each time it is built."""
    source = folder / "source"
    words = script.format(source=source) + f"; echo built >> {folder}/marks"
    return Part("part", ("sh", "-c", words), (source,), needs=needs)


def test_a_part_is_built_once(tmp_path: Path) -> None:
    """The second build finds the first one's result."""
    (tmp_path / "source").write_text("one")
    build.build([part(tmp_path)])
    build.build([part(tmp_path)])

    assert part(tmp_path).path().read_text() == "one"
    assert (tmp_path / "marks").read_text() == "built\n"


def test_a_changed_input_is_built_again(tmp_path: Path) -> None:
    """Other content, or another mode, is another part; the old one stays for who goes back."""
    source = tmp_path / "source"
    source.write_text("one")
    first = part(tmp_path).path()
    source.write_text("two")
    second = part(tmp_path).path()
    source.chmod(0o755)

    assert len({first, second, part(tmp_path).path()}) == 3


def test_another_checkout_finds_the_same_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A digest does not depend on where the checkout and the cache are, but on all else of the command."""
    digests = set()
    for place in ("here", "elsewhere"):
        root = tmp_path / place
        root.mkdir()
        (root / "source").write_text("same")
        monkeypatch.setattr(build, "ROOT", root)
        monkeypatch.setenv("CONSUL_DEMO_CACHE", str(root / "cache"))
        words = ("cp", str(root / "source"), str(build.cache() / "x"))
        digests.add(Part("part", words, (root / "source",)).digest())

    assert len(digests) == 1


def test_what_a_part_needs_is_built_first_and_counts(tmp_path: Path) -> None:
    """A part changes with what it needs, and finds it there."""
    (tmp_path / "source").write_text("one")
    need = Part("need", ("sh", "-c", "echo need > {output}"), ())
    other = Part("need", ("sh", "-c", "echo other > {output}"), ())
    whole = part(tmp_path, f"cat {need.path()} > {{{{output}}}}", (need,))
    build.build([whole])

    assert whole.path().read_text() == "need\n"
    assert part(tmp_path, needs=(need,)).path() != part(tmp_path, needs=(other,)).path()


def test_a_failed_build_says_why_and_leaves_no_part(tmp_path: Path) -> None:
    """The error ends with what the command printed; nothing half-built is taken for a part later."""
    (tmp_path / "source").write_text("one")
    broken = part(tmp_path, "echo the compiler is missing; exit 7; : {source}")

    with pytest.raises(BuildError, match=r"(?s)part was not built \(exit code 7\).*the compiler is missing"):
        build.build([broken])
    assert not broken.path().exists()

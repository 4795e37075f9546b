"""Files are named by their content and handed out by signed addresses."""

import asyncio
import subprocess
import sys

import pytest

from shared import links
from shared.errors import NotFound, Unavailable
from shared.files import Files, name_of
from tests.shared.homes import ROOT


@pytest.fixture
def files(stack, tmp_path):
    import msgspec

    return Files(msgspec.structs.replace(stack.settings("ads"), home=tmp_path), "ads")


@pytest.mark.promise("F10")
async def test_the_same_content_twice_is_one_file_and_comes_back_whole(files, tmp_path):
    first, second = await files.put(b"picture"), await files.put(b"picture")
    assert first == second
    assert await files.get(first) == b"picture"
    assert len([p for p in (tmp_path / "files").rglob("*") if p.is_file()]) == 1


async def test_a_file_that_the_disk_does_not_take_is_asked_for_again(files, tmp_path):
    await files.put(b"picture")
    name = name_of(b"another")
    (tmp_path / "files" / "ads" / name[:2]).write_bytes(b"no folder can be made here")
    with pytest.raises(Unavailable):
        await files.put(b"another")
    (tmp_path / "files" / "ads" / name[:2]).unlink()
    assert await files.put(b"another") == name


LITTLE = """
import asyncio, resource, sys
from pathlib import Path
from shared.errors import Unavailable
from shared.files import Files
from shared.settings import Settings

files = Files(Settings(home=Path(sys.argv[1])), "ads")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # as where a disk has as much left
try:
    asyncio.run(files.put(b"x" * 1_000_000))
except Unavailable as refusal:
    sys.exit(int(refusal.status) % 256)
"""


@pytest.mark.promise("T7")
async def test_of_a_file_for_which_the_room_ends_nothing_is_left_and_it_is_asked_for_again(files, tmp_path):
    writes = [sys.executable, "-c", LITTLE, tmp_path]
    told = await asyncio.to_thread(subprocess.run, writes, cwd=ROOT, timeout=60, check=False)
    assert told.returncode == Unavailable.status % 256
    assert [p for p in (tmp_path / "files").rglob("*") if p.is_file()] == []
    content = b"x" * 1_000_000
    with pytest.raises(NotFound):
        await files.get(name_of(content))
    assert await files.get(await files.put(content)) == content


async def test_a_damaged_file_is_noticed(files, tmp_path):
    name = await files.put(b"picture")
    (tmp_path / "files" / "ads" / name[:2] / name).write_bytes(b"other")
    with pytest.raises(NotFound, match="damaged"):
        await files.get(name)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 63, "g" * 64, "0" * 64])
async def test_a_name_that_is_none_or_unknown_is_not_found(files, name):
    with pytest.raises(NotFound):
        await files.get(name)


@pytest.mark.promise("F10")
async def test_a_signed_address_opens_that_file_alone(files):
    name = await files.put(b"picture")
    path, _, query = files.signed("/creatives", name).partition("?")
    assert path == f"/creatives/{name}"
    links.opened(files.settings, path, query)
    with pytest.raises(NotFound):
        links.opened(files.settings, path.replace(name, "0" * 64), query)

"""Files are named by their content and handed out by signed addresses."""

import pytest

from shared import links
from shared.errors import NotFound, Unavailable
from shared.files import Files, name_of


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

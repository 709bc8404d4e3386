"""Lists of pairs are data: what they name, what they must not, and that all that is wrong is told at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from geofcs.errors import InputError
from geofcs.listing import read_pairs
from geofcs.plan import DetectRequest
from geofcs.scene import SceneOptions

TEMPLATE = DetectRequest("", "", Path("out"), Path("w.safetensors"))


def allowing(*sources: str) -> DetectRequest:
    return replace(TEMPLATE, scene=SceneOptions(allow_sources=sources))


def requests(
    folder: Path, text: str, template: DetectRequest = TEMPLATE, outputs: Path | None = None
) -> list[DetectRequest]:
    path = folder / "list.csv"
    path.write_text(text)
    return [row.request for row in read_pairs(path, template, outputs)]


def test_rows_are_paths_from_the_lists_folder_and_never_more(tmp_path: Path) -> None:
    text = "\ufefft1, t2 ,out,date_t1\n\nt1.tif,sub/t2.tif,,2020-01-01\na b/x.tif,$(ls).tif,there,\n"
    first, second = requests(tmp_path, text)
    assert [row.line for row in read_pairs(tmp_path / "list.csv", TEMPLATE, None)] == [3, 4]
    assert (first.t1, first.t2) == (str(tmp_path / "t1.tif"), str(tmp_path / "sub" / "t2.tif"))
    assert (first.out, first.date_t1) == (tmp_path / "t1_t2_change", "2020-01-01")
    assert (second.t1, second.t2) == (str(tmp_path / "a b" / "x.tif"), str(tmp_path / "$(ls).tif"))
    assert (second.out, second.date_t1) == (tmp_path / "there", None)
    elsewhere = requests(tmp_path, text, outputs=tmp_path / "all")[0].out
    assert elsewhere == tmp_path / "all" / "t1_t2_change"


@pytest.mark.parametrize(
    "address", ["https://8.8.8.8/a.tif", "https://not.known.here.invalid/a.tif", "s3://bucket/a.tif"]
)
def test_rows_may_be_addresses_of_buckets_and_of_the_public_internet(tmp_path: Path, address: str) -> None:
    assert requests(tmp_path, f"t1,t2\n{address},b.tif\n")[0].t1 == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: write a first line t1,t2"),
        ("t1,t2\n", "has no pairs below its first line"),
        ("t1,tt2\na,b\n", r"line 1: column 'tt2' is not known: did you mean t2\?\nline 1: column t2 is missing"),
        ("t1,t2\na.tif\n,b.tif\n", "line 2: has 1 cells where the first line has 2\nline 3: t1 or t2 is empty"),
        ("t1,t2\na.tif,b.tif\nc/a.tif,b.tif\n", "line 3: writes into the output of line 2"),
        ("t1,t2\n<VRTDataset/>,b.tif\n", "line 2: .*is not the name of a file"),
        ('t1,t2\n"a,b\n', "cannot be read as CSV"),
        ("t1,t2\nhttps://127.0.0.1\\@example.org/a.tif,b.tif\n", "line 2: .*is not plainly the name of a host"),
    ],
)
def test_all_that_is_wrong_in_a_list_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        requests(tmp_path, text)


@pytest.mark.parametrize("name", ["/etc/a.tif", "../a.tif", "sub/../../a.tif", "link/a.tif"])
def test_files_beyond_the_lists_folder_must_be_allowed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "lists"
    (folder / "sub").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path)
    text = f"t1,t2,mask_t1\na.tif,{name},\na.tif,c.tif,{name}\n"
    with pytest.raises(InputError) as told:
        requests(folder, text)
    _, *lines = str(told.value).splitlines()
    assert [line[:7] for line in lines] == ["line 2:", "line 3:"]
    assert all("lies outside the folder of the list: allow that with --allow-source /" in line for line in lines)
    cure = lines[0].rpartition(" ")[2]
    assert len(requests(folder, text, allowing(cure))) == 2, "what the message says to type helps"


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "localhost", "127.1", "2130706433", "10.1.2.3", "192.168.0.1", "172.16.9.9", "100.64.0.1"),
        *(
            "[::1]",
            "[fe80::1]",
            "[fd00::1]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("user@127.0.0.1:8080", "example.org@127.0.0.1"),
    ],
)
def test_hosts_of_the_own_network_must_be_allowed(tmp_path: Path, host: str) -> None:
    text = f"t1,t2\nhttps://{host}/latest/meta-data/a.tif,b.tif\n"
    with pytest.raises(
        InputError, match=r"line 2: .*lies in the network of this machine \(.*--allow-source https://"
    ) as told:
        requests(tmp_path, text)
    cure = str(told.value).rpartition(" ")[2]
    assert "@" not in cure
    if "@" not in host:
        assert len(requests(tmp_path, text, allowing(cure))) == 1, "what the message says to type helps"


@pytest.mark.parametrize("out", ["/somewhere/else", "../else", "link/else"])
def test_outputs_lie_in_the_lists_folder_or_that_of_outputs(tmp_path: Path, out: str) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    text = f"t1,t2,out\na.tif,b.tif,{out}\n"
    with pytest.raises(InputError, match=r"line 2: .*lies outside the folder of the list: name .* with -o /"):
        requests(folder, text)
    outputs = (folder / out).parent
    assert requests(folder, text, outputs=outputs)[0].out == folder / out

"""From rockshrew-mono and back: a database that it wrote is imported, answers as it did at every
height, and is exported again to rows that say the same."""
import hashlib
import json
import subprocess
import tarfile

import pytest

from harness import paths, rockshrew
from harness.daemon import dump, shrewd

OK, FAILURE, USAGE, DATABASE, GUEST = 0, 1, 2, 3, 5
TIP = 63


@pytest.fixture(scope="module")
def sample(shared, tmp_path_factory):
    """(folder, what its views answered)"""
    folder = tmp_path_factory.mktemp("rockshrew")
    with tarfile.open(shared / "fixtures" / "rockshrew-db.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    found = next(folder.rglob("CURRENT")).parent
    expected = json.loads((shared / "fixtures" / "rockshrew-db.expected.json").read_text())
    return found, expected


def import_into(folder, db, module="minimal", **more):
    return shrewd("import-rockshrew", folder, "--db-path", db, "--indexer", paths.guest(module),
                  *more.pop("flags", ()), **more)


@pytest.fixture(scope="module")
def imported(sample, tmp_path_factory):
    db = tmp_path_factory.mktemp("imported") / "db"
    done = import_into(sample[0], db, check=OK)
    assert "1130 keys, 1193 entries" in done.stdout and "999 entries with a later" in done.stdout
    return db


def view(db, module, name, height):
    return shrewd("view", name, "--db-path", db, "--indexer", paths.guest(module), "--height",
                  height, check=OK).stdout.strip()


def test_views_answer_as_they_did(sample, imported, tmp_path):
    expected = sample[1]
    assert expected["tip"] == TIP
    benchmark = tmp_path / "db"
    import_into(sample[0], benchmark, "benchmark", check=OK)
    for height, answers in expected["heights"].items():
        assert view(imported, "minimal", "blocktracker", height) == answers["blocktracker"]
        assert view(imported, "minimal", "getblock", height) == answers["getblock"]
        entries = view(benchmark, "benchmark", "benchmark_view", height)
        assert entries == "0x" + "01" * answers["benchmark_view_length"]
    # Heights between those of the sample: each block adds one byte.
    for height in range(3, TIP + 1, 9):
        assert len(view(imported, "minimal", "blocktracker", height)) == 2 + 2 * (height + 1)


def test_block_hashes(sample, imported, tmp_path):
    status = json.loads(shrewd("status", "--db-path", imported, "--json", check=OK).stdout)
    assert status["height"] == TIP and status["start_height"] == 0 and status["chain"] == "regtest"
    tip = sample[1]["heights"][str(TIP)]["blockhash"]
    assert "0x" + status["hash"].removeprefix("0x") == tip
    for height in (0, 1, 10, 25, 50):
        copy = tmp_path / str(height)
        subprocess.run(["cp", "-r", imported, copy], check=True)
        done = shrewd("rollback", "--db-path", copy, "--height", height, "--yes", "--json", check=OK)
        want = sample[1]["heights"][str(height)]["blockhash"]
        assert "0x" + json.loads(done.stdout)["hash"].removeprefix("0x") == want


def test_every_value_at_every_height(sample, imported):
    rows = rockshrew.rows(sample[0])
    keys = rockshrew.keys(rows)
    for height in [*range(0, TIP, 5), TIP]:
        values = {key: rockshrew.get(rows, key, height) for key in keys}
        lines = [f"{key.hex()} {value.hex()}" for key, value in sorted(values.items())
                 if value is not None]
        assert dump(imported, "--height", height).splitlines() == lines


def test_export(sample, imported, tmp_path):
    """The rows are the original's, but for the roots, which nobody can compute from it, and entries
    that another of the same block replaced."""
    done = shrewd("export-rockshrew", tmp_path / "rows", "--db-path", imported, "--json", check=OK)
    assert json.loads(done.stdout)["keys"] == 1130
    old, new = rockshrew.rows(sample[0]), rockshrew.rows(tmp_path / "rows")
    assert rockshrew.keys(old) == rockshrew.keys(new)
    for key in rockshrew.keys(old):
        last = dict(rockshrew.updates(old, key))  # of one height the last stays
        assert rockshrew.updates(new, key) == sorted(last.items())
    several = b"/storage/length/"
    left = {row for row in old if not row.startswith((b"smt:root:", several))}
    assert left == {row for row in new if not row.startswith(several)}
    assert all(old[row] == new[row] for row in left)
    assert new[several + b"length"] == b"1" and new[several + b"0"] == b"0:e8030000"


def test_there_and_back(imported, tmp_path):
    shrewd("export-rockshrew", tmp_path / "rows", "--db-path", imported, check=OK)
    done = import_into(tmp_path / "rows", tmp_path / "db", flags=["--json"], check=OK)
    told = json.loads(done.stdout)
    assert told["superseded"] == told["orphaned"] == told["unreached"] == 0
    assert told["height"] == TIP and told["entries"] == 1193
    for height in (0, 1, 30, TIP):
        assert dump(tmp_path / "db", "--height", height) == dump(imported, "--height", height)


def test_goes_on(sample, imported, tmp_path):
    """`shrewd run` takes it further: the blocks come from the database itself."""
    rows = rockshrew.rows(sample[0])
    blocks = [rockshrew.get(rows, b"/blocks/%d" % height, TIP) for height in range(TIP + 1)]
    file = tmp_path / "blocks.dat"
    file.write_bytes(b"".join(bytes.fromhex("fabfb5da") + len(block).to_bytes(4, "little") + block
                              for block in blocks))
    db = tmp_path / "db"
    subprocess.run(["cp", "-r", imported, db], check=True)
    shrewd("rollback", "--db-path", db, "--height", 40, "--yes", check=OK)
    shrewd("run", "--db-path", db, "--indexer", paths.guest("minimal"), "--blocks", file,
           "--exit-at", TIP, "--port", 0, check=OK)
    for prefix in ("/blocks/", "/blocktracker"):
        assert dump(db, "--prefix", prefix) == dump(imported, "--prefix", prefix)
    shrewd("run", "--db-path", db, "--indexer", paths.guest("benchmark"), "--blocks", file,
           "--exit-at", TIP, "--port", 0, check=DATABASE)


def digest(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in folder.iterdir()}


def test_the_source_is_not_written(sample, tmp_path):
    before = digest(sample[0])
    import_into(sample[0], tmp_path / "db", check=OK)
    assert digest(sample[0]) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db"]


def test_label_and_start(sample, tmp_path):
    """Keys and tip under a label, and no block before 5."""
    rows = {}
    for row, value in rockshrew.rows(sample[0]).items():
        plain = row == b"__INTERNAL/height" or row.startswith(b"/__INTERNAL/height-to-hash/")
        low = row.startswith(b"/__INTERNAL/height-to-hash/") and int(row.split(b"/")[-1]) < 5
        if not low and (plain or row.startswith((b"/blocktracker", b"/__INTERNAL/"))):
            rows[row if plain else b"live://" + row] = value
    rows[b"live:///blocktracker/length"] = b"0"
    rows |= {b"live:///k/length": b"1", b"live:///k/0": b"7:aa"}
    rockshrew.write(tmp_path / "old", rows)
    flags = ["--label", "live", "--network", "regtest"]
    done = import_into(tmp_path / "old", tmp_path / "db")
    assert done.returncode == DATABASE and "--label live" in done.stderr
    done = import_into(tmp_path / "old", tmp_path / "db", flags=flags[:2], check=USAGE)
    assert "--network" in done.stderr
    done = import_into(tmp_path / "old", tmp_path / "db", flags=[*flags[:3], "moon"], check=USAGE)
    assert "moon" in done.stderr
    import_into(tmp_path / "old", tmp_path / "db", flags=flags, check=OK)
    status = json.loads(shrewd("status", "--db-path", tmp_path / "db-live", "--json").stdout)
    assert status["start_height"] == 5 and status["height"] == TIP
    assert dump(tmp_path / "db-live") == "2f6b aa\n"
    shrewd("export-rockshrew", tmp_path / "again", "--db-path", tmp_path / "db", "--label", "live",
           check=OK)
    again = rockshrew.rows(tmp_path / "again")
    assert again[b"live:///k/0"] == b"7:aa" and b"live:///__INTERNAL/tip-height" in again


def test_refusals(sample, imported, tmp_path):
    folder, db = sample[0], tmp_path / "db"
    done = import_into(folder, imported)
    assert done.returncode == DATABASE and "holds something already" in done.stderr
    done = import_into(tmp_path / "absent", db)
    assert done.returncode == DATABASE and "absent" in done.stderr and "index again" not in done.stderr
    done = import_into(tmp_path, db)
    assert done.returncode == DATABASE and "holds no RocksDB database" in done.stderr
    done = import_into(imported, db)
    assert done.returncode == DATABASE and "rockshrew-mono" in done.stderr
    done = import_into(folder, db, flags=["--network", "main"])
    assert done.returncode == DATABASE and "not that of main" in done.stderr
    done = shrewd("import-rockshrew", folder, "--db-path", db, "--indexer", tmp_path / "none.wasm",
                  check=GUEST)
    assert "none.wasm" in done.stderr
    done = shrewd("export-rockshrew", folder, "--db-path", imported)
    assert done.returncode == DATABASE and "holds something already" in done.stderr
    # A wrong row is named, and nothing is left behind.
    rows = rockshrew.rows(folder)
    rows[b"/blocktracker/40"] = b"40:0"
    rockshrew.write(tmp_path / "bad", rows)
    done = import_into(tmp_path / "bad", db, check=DATABASE)
    assert "'/blocktracker/40'" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad"]


def test_what_a_cut_left_goes(sample, tmp_path):
    left = tmp_path / "db.partial"
    (left / "db").mkdir(parents=True)
    (left / "sort").mkdir()
    for name in ("LOG", "db/CURRENT", "sort/000012.sst", "shrewd.lock"):
        (left / name).write_text("left over")
    import_into(sample[0], tmp_path / "db", check=OK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db"]

"""What a power cut may leave of a folder. powercut.c notes everything the program under test does
to its files; from that, any moment of the run can be the cut: what was synced is there, of the rest
a random part, in any of the ways in which file systems lose things."""
import bisect
import functools
import pathlib
import shutil
import struct
import subprocess
import tempfile

SOURCE = pathlib.Path(__file__).with_name("powercut.c")


@functools.cache
def shim():
    """The compiled powercut.c; it is kept as long as this process."""
    folder = tempfile.TemporaryDirectory(prefix="shrewd-powercut.")
    made = pathlib.Path(folder.name, "powercut.so")
    subprocess.run(["cc", "-std=gnu17", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", made,
                    SOURCE, "-lpthread"], check=True)
    shim.folder = folder
    return made


def small_disk(root, space):
    """The environment of a program for which the files below `root` have room for as many bytes as
    the file `space` says."""
    return {"LD_PRELOAD": str(shim()), "POWERCUT_ROOT": str(root), "POWERCUT_SPACE": str(space)}


class File:
    """What is on the disk for certain, and what was written since: (offset, bytes), or a size."""

    def __init__(self, data=b""):
        self.synced = bytes(data)
        self.pending = []

    def apply(self, changes):
        data = bytearray(self.synced)
        for at, written in changes:
            if written is None:
                del data[at:]
                data.extend(bytes(at - len(data)))
            else:
                data.extend(bytes(max(0, at - len(data))))
                data[at:at + len(written)] = written
        return bytes(data)

    def sync(self):
        self.synced = self.apply(self.pending)
        self.pending = []

    def left(self, dice):
        """What a cut may leave of it."""
        kind = dice.choice(["nothing", "all", "prefix", "prefix", "torn", "torn", "some", "tail"])
        if kind == "nothing" or not self.pending:
            return self.synced
        if kind == "all":
            return self.apply(self.pending)
        if kind == "some":  # those written back first, in no order
            return self.apply([change for change in self.pending if dice.random() < 0.7])
        upto = dice.randrange(len(self.pending))
        at, written = self.pending[upto]
        kept = self.pending[:upto]
        if written is not None and kind == "torn":
            kept = kept + [(at, written[:dice.randrange(len(written) + 1)])]
        if written is not None and kind == "tail":  # room was made for it, and then came nothing
            junk = bytes(len(written)) if dice.random() < 0.5 else dice.randbytes(len(written))
            kept = kept + [(at, junk)]
        return self.apply(kept)


class Disk:
    """A folder as its journal tells: what is to be seen, and what is on the disk for certain."""

    def __init__(self, base):
        self.names = {}  # path -> File, None for a folder: as the program sees it
        for path in sorted(base.rglob("*")):
            self.names[str(path.relative_to(base))] = (
                None if path.is_dir() else File(path.read_bytes()))
        self.certain = dict(self.names)
        self.renames = []  # changes of names not synced yet
        self.handles = {}

    def play(self, kind, rest):
        if kind in "WTS":
            file = self.handles[struct.unpack_from("<I", rest)[0]]
            if kind == "S":
                file.sync()
            else:
                at = struct.unpack_from("<Q", rest, 4)[0]
                file.pending.append((at, rest[12:] if kind == "W" else None))
        elif kind == "O":
            handle, flags = struct.unpack_from("<IB", rest)
            path = rest[5:].decode()
            if flags & 1:
                self._rename(("set", path, File()))
            elif flags & 2:
                self.names[path].pending.append((0, None))
            self.handles[handle] = self.names[path]
        elif kind == "D":
            self._sync_folder(rest.decode())
        elif kind == "R":
            self._rename(("move", *(part.decode() for part in rest.split(b"\0"))))
        elif kind == "L":
            self._rename(("link", *(part.decode() for part in rest.split(b"\0"))))
        elif kind == "M":
            self._rename(("set", rest.decode(), None))
        else:
            self._rename(("drop", rest.decode(), None))

    def _rename(self, change):
        self._apply(self.names, change)
        self.renames.append(change)

    @staticmethod
    def _apply(names, change):
        what, path, more = change
        if what == "set":
            names[path] = more
        elif what == "drop":
            names.pop(path, None)
        elif what == "link" and path in names:
            names[more] = names[path]
        elif path in names:
            names[more] = names.pop(path)

    def _sync_folder(self, folder):
        left = []
        for change in self.renames:
            parent = str(pathlib.PurePath(change[1]).parent)
            if parent == (folder or "."):
                self._apply(self.certain, change)
            else:
                left.append(change)
        self.renames = left

    def cut(self, target, dice):
        """Writes into the folder `target` what may be left now."""
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        names = dict(self.certain)
        kind = dice.choice(["none", "all", "first", "first"])
        upto = {"none": 0, "all": len(self.renames)}.get(kind,
                                                         dice.randrange(len(self.renames) + 1))
        for change in self.renames[:upto]:
            self._apply(names, change)
        for path, file in sorted(names.items()):
            if any(names.get(str(parent), "gone") == "gone" and str(parent) != "."
                   for parent in pathlib.PurePath(path).parents):
                continue  # the folder it is in was lost
            if file is None:
                (target / path).mkdir(parents=True, exist_ok=True)
            else:
                (target / path).write_bytes(file.left(dice))


class PowerCut:
    """Watches what a program does below `root`. Before each run: env(), which is the program's
    environment; then cuts()."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.folder = tempfile.TemporaryDirectory(prefix="shrewd-journal.")
        self.journal = pathlib.Path(self.folder.name, "journal")
        self.base = pathlib.Path(self.folder.name, "base")

    def env(self):
        """Forgets what was; the root as it is now counts as being on the disk."""
        self.journal.write_bytes(b"")
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.copytree(self.root, self.base)
        return {"LD_PRELOAD": str(shim()), "POWERCUT_ROOT": str(self.root),
                "POWERCUT_JOURNAL": str(self.journal)}

    def position(self):
        """The moment that is now; what a client saw before is older."""
        return self.journal.stat().st_size

    def records(self):
        """(position after it, kind, rest) of everything noted."""
        data, at = self.journal.read_bytes(), 0
        while at + 5 <= len(data):
            kind, length = chr(data[at]), struct.unpack_from("<I", data, at + 1)[0]
            if at + 5 + length > len(data):
                return  # killed while it was noted
            yield at + 5 + length, kind, data[at + 5:at + 5 + length]
            at += 5 + length

    def cuts(self, count, target, dice, near=()):
        """Builds `count` cuts in the folder `target`, one after the other; yields the moment of
        each. Half of the moments come soon after those in `near`, if there are any."""
        records = list(self.records())
        ends = [end for end, _, _ in records]
        chosen = []
        for _ in range(count):
            if near and dice.random() < 0.5:
                first = bisect.bisect_left(ends, dice.choice(near))
                chosen.append(min(len(records), first + dice.randrange(8)))
            else:
                chosen.append(dice.randrange(len(records) + 1))
        disk, done = Disk(self.base), 0
        for upto in sorted(chosen):
            for _, kind, rest in records[done:upto]:
                disk.play(kind, rest)
            done = upto
            disk.cut(target, dice)
            yield ends[upto - 1] if upto else 0

    def close(self):
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

"""rockshrew-mono's database, read by the rules of its layout, from its rows alone."""
import functools
import pathlib
import subprocess
import tempfile

SOURCE = pathlib.Path(__file__).with_name("rocks_rows.c")


@functools.cache
def reader():
    """The compiled rocks_rows.c; it is kept as long as this process."""
    folder = tempfile.TemporaryDirectory(prefix="shrewd-rows.")
    made = pathlib.Path(folder.name, "rocks_rows")
    subprocess.run(["cc", "-std=gnu17", "-O1", "-Wall", "-Werror", "-o", made, SOURCE, "-lrocksdb"],
                   check=True)
    reader.folder = folder
    return made


def rows(folder):
    done = subprocess.run([reader(), "print", folder], check=True, capture_output=True, text=True)
    lines = (line.split(" ") for line in done.stdout.splitlines())
    return {bytes.fromhex(key): bytes.fromhex(value) for key, value in lines}


def write(folder, new):
    text = "".join(f"{key.hex()} {value.hex()}\n" for key, value in new.items())
    subprocess.run([reader(), "write", folder], check=True, input=text, text=True)


def put(folder, family, new):
    """Puts rows into a column family of any RocksDB database, which nobody has open."""
    text = "".join(f"{key.hex()} {value.hex()}\n" for key, value in new.items())
    subprocess.run([reader(), "put", folder, family], check=True, input=text, text=True)


def keys(rows):
    """Every key that was ever written."""
    return {row[:-len(b"/length")] for row in rows if row.endswith(b"/length")}


def updates(rows, key):
    """[(height, value)] in the order of writing."""
    found = []
    for n in range(int(rows[key + b"/length"])):
        height, digits = rows[key + b"/%d" % n].split(b":")
        found.append((int(height), bytes.fromhex(digits.decode())))
    return found


def get(rows, key, height):
    """The value after a height, by the binary search of the program itself."""
    if key + b"/length" not in rows:
        return None
    found, left, right = None, 0, int(rows[key + b"/length"])
    while left < right:
        middle = (left + right) // 2
        written, digits = rows[key + b"/%d" % middle].split(b":")
        if int(written) <= height:
            found, left = bytes.fromhex(digits.decode()), middle + 1
        else:
            right = middle
    return found

"""Raw blocks outside a node: files of them, and mainnet's."""
import bz2
import hashlib
import struct

MAINNET_MAGIC = bytes.fromhex("f9beb4d9")
REGTEST_MAGIC = bytes.fromhex("fabfb5da")

# Mainnet's first block, 285 bytes, as every node has it built in.
MAINNET_GENESIS = bytes.fromhex(
    "01000000" + "00" * 32 +
    "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
    "0101000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ff"
    "ff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e20627269"
    "6e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a010000004341"
    "04678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e5"
    "1ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000")


def block_hash(block):
    """In internal byte order."""
    return hashlib.sha256(hashlib.sha256(block[:80]).digest()).digest()


def bootstrap(blocks, magic):
    """The bytes of a bootstrap.dat-like file."""
    return b"".join(magic + struct.pack("<I", len(block)) + block for block in blocks)


def read_bootstrap(data):
    at = 0
    while at + 8 <= len(data):
        length = struct.unpack_from("<I", data, at + 4)[0]
        yield data[at + 8:at + 8 + length]
        at += 8 + length


def early_mainnet(shared):
    """Mainnet blocks 0 to 255."""
    data = bz2.decompress((shared / "blocks" / "blocks1-256.bz2").read_bytes())
    return [MAINNET_GENESIS, *read_bootstrap(data)]

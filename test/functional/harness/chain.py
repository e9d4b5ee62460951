"""Regtest blocks made here, in milliseconds: chains that part and meet again, any payload in them.

A block has a coinbase alone; its work is a few tries, as regtest asks for next to none. A real
bitcoind takes these blocks too."""
import hashlib
import struct

from harness.blocks import MAINNET_GENESIS, REGTEST_MAGIC, block_hash, bootstrap

BITS = 0x207fffff
TARGET = 0x7fffff << 8 * (0x20 - 3)
# Regtest's first block: mainnet's with another time, target and nonce.
GENESIS = MAINNET_GENESIS[:68] + struct.pack("<III", 1296688602, BITS, 2) + MAINNET_GENESIS[80:]


def _compact(n):
    return bytes([n]) if n < 0xfd else b"\xfd" + struct.pack("<H", n) if n < 0x10000 else (
        b"\xfe" + struct.pack("<I", n))


def _coinbase(height, payload):
    number = height.to_bytes((height.bit_length() + 8) // 8, "little")  # BIP 34: as short as can be
    script = (bytes([0x50 + height]) if height <= 16 else bytes([len(number)]) + number) + b"\x00"
    out = b"\x6a" + b"\x4e" + struct.pack("<I", len(payload)) + payload
    return (struct.pack("<i", 1) + b"\x01" + bytes(32) + b"\xff" * 4 + _compact(len(script)) +
            script + b"\xff" * 4 + b"\x01" + struct.pack("<q", 0) + _compact(len(out)) + out +
            bytes(4))


def make_block(parent, height, payload=b""):
    coinbase = _coinbase(height, payload)
    root = hashlib.sha256(hashlib.sha256(coinbase).digest()).digest()
    body = b"\x01" + coinbase
    for nonce in range(1 << 32):
        header = struct.pack("<i32s32sIII", 0x20000000, block_hash(parent), root,
                             1296688602 + 600 * height, BITS, nonce)
        if int.from_bytes(block_hash(header), "little") <= TARGET:
            return header + body


class Chain:
    """Blocks from genesis on. `payload(height)` gives what each coinbase carries besides `name`,
    which makes the blocks of one branch differ from another's."""

    def __init__(self, length, name="a", payload=None, blocks=None):
        self.name = name
        self.payload = payload or (lambda height: b"")
        self.blocks = list(blocks or [GENESIS])
        self.extend(length)

    def extend(self, height):
        """Blocks up to this height."""
        for at in range(len(self.blocks), height + 1):
            self.blocks.append(make_block(self.blocks[-1], at,
                                          self.name.encode() + self.payload(at)))
        return self

    def branch(self, name, parent, length, payload=None):
        """Another chain with this one's blocks up to height `parent`."""
        return Chain(length, name, payload or self.payload, self.blocks[:parent + 1])

    def shared(self, other):
        """The height of the last block that both have."""
        return max(height for height, (one, two) in enumerate(zip(self.blocks, other.blocks))
                   if one == two)

    def submit(self, node):
        """Hands a node the blocks that it does not have; it goes over when they are more work."""
        for block in self.blocks[1:]:
            answer = node.rpc.submitblock(block.hex())
            assert answer in (None, "duplicate", "inconclusive"), answer

    @property
    def tip(self):
        return len(self.blocks) - 1

    def hash(self, height):
        """As it is shown."""
        return block_hash(self.blocks[height])[::-1].hex()

    def write(self, path):
        """As a block file for --blocks; returns its path."""
        path.write_bytes(bootstrap(self.blocks, REGTEST_MAGIC))
        return path

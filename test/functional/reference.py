"""What the sample modules must answer, worked out a second time.

An unspent-output calculator over raw blocks, built on python-bitcoinlib (0.12.2) and sharing
nothing with guest/samples/balances.c but its rules:

- coinbases count, the genesis block's does not (its parent is all zeros);
- outputs whose script starts with 0x6a or is longer than 10000 bytes are never stored;
- an outpoint that comes again replaces the older one;
- an input whose output was never seen is counted and otherwise ignored.

Hashes are in internal byte order unless a name says otherwise. Values are satoshi.
"""

import struct
from typing import Dict, List, NamedTuple

from bitcoin.core import CBlock

UNKNOWN_GENESIS_PARENT = bytes(32)
UTXO_ENTRY = struct.Struct("<32sIQI")  # one entry of the view `utxos`
TOTALS = struct.Struct("<QQQQQ")  # the view `totals`
BALANCE = struct.Struct("<QQ")  # the view `balance`


class Outpoint(NamedTuple):
    txid: bytes
    vout: int


class Utxo(NamedTuple):
    outpoint: Outpoint
    value: int
    height: int


class Balance(NamedTuple):
    balance: int
    utxos: int


class Totals(NamedTuple):
    utxos: int
    value: int
    txs: int
    scripts: int
    unknown_inputs: int


class Reference:
    """Apply blocks in order; then ask."""

    def __init__(self):
        self._utxos: Dict[Outpoint, tuple] = {}  # -> (script, value, height)
        self._by_script: Dict[bytes, Dict[Outpoint, None]] = {}  # in order of creation
        self._txs = 0
        self._unknown_inputs = 0
        self.block_hashes: List[bytes] = []

    def apply(self, block_bytes: bytes, height: int) -> None:
        block = CBlock.deserialize(block_bytes)
        self.block_hashes.append(block.GetHash())
        genesis = block.hashPrevBlock == UNKNOWN_GENESIS_PARENT
        for tx in block.vtx:
            self._txs += 1
            if genesis:
                continue
            if not tx.is_coinbase():
                for txin in tx.vin:
                    spent = Outpoint(txin.prevout.hash, txin.prevout.n)
                    if not self._remove(spent):
                        self._unknown_inputs += 1
            txid = tx.GetTxid()
            for vout, txout in enumerate(tx.vout):
                script = bytes(txout.scriptPubKey)
                if script[:1] == b"\x6a" or len(script) > 10000:
                    continue
                outpoint = Outpoint(txid, vout)
                self._remove(outpoint)
                self._utxos[outpoint] = (script, txout.nValue, height)
                self._by_script.setdefault(script, {})[outpoint] = None

    def _remove(self, outpoint: Outpoint) -> bool:
        known = self._utxos.pop(outpoint, None)
        if known is None:
            return False
        owned = self._by_script[known[0]]
        del owned[outpoint]
        if not owned:
            del self._by_script[known[0]]
        return True

    def scripts(self) -> List[bytes]:
        """Every script with an unspent output."""
        return list(self._by_script)

    def utxos(self, script: bytes) -> List[Utxo]:
        """The newest first, as the view lists them."""
        found = []
        for outpoint in reversed(self._by_script.get(script, {})):
            _, value, height = self._utxos[outpoint]
            found.append(Utxo(outpoint, value, height))
        return found

    def balance(self, script: bytes) -> Balance:
        owned = self._by_script.get(script, {})
        return Balance(sum(self._utxos[outpoint][1] for outpoint in owned), len(owned))

    def totals(self) -> Totals:
        value = sum(value for _, value, _ in self._utxos.values())
        return Totals(
            len(self._utxos), value, self._txs, len(self._by_script), self._unknown_inputs
        )

    def blocktracker(self) -> bytes:
        """What the view `blocktracker` of minimal.c answers."""
        return bytes(block_hash[0] for block_hash in self.block_hashes)


def decode_balance(answer: bytes) -> Balance:
    return Balance(*BALANCE.unpack(answer))


def decode_totals(answer: bytes) -> Totals:
    return Totals(*TOTALS.unpack(answer))


def decode_utxos(answer: bytes) -> List[Utxo]:
    return [
        Utxo(Outpoint(txid, vout), value, height)
        for txid, vout, value, height in UTXO_ENTRY.iter_unpack(answer)
    ]


def page_input(script: bytes, limit: int, after: Outpoint = Outpoint(bytes(32), 0)) -> bytes:
    """The input of the view `utxos_page`: what follows `after`, from the newest by default."""
    return struct.pack("<I32sI", limit, after.txid, after.vout) + script

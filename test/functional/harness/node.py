"""A real bitcoind on regtest: started, mined on, reorganised, spent from."""
import decimal
import pathlib
import random
import shutil
import subprocess
import tempfile

from harness.paths import bitcoind_command
from harness.process import die_with_parent, free_port, wait_for
from harness.rpc import Rpc, RpcError

AUTH = "shrewd:functional-test"
# Anyone can spend it; used where who owns the coins does not matter.
NOBODY = "bcrt1p9yfmy5h72durp7zrhlw9lf7jpwjgvwdg0jr0lqmmjtgg83266lqsekaqka"


class Node:
    def __init__(self, *extra, rest=True, zmq=True):
        self.command, self.root = bitcoind_command()
        base = self.root / "tmp" if self.root != pathlib.Path("/") else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shrewd-node.", dir=base))
        self.extra, self.rest, self.zmq = extra, rest, zmq
        self.rpc_port = self.zmq_port = None
        self.process = None
        self.rpc = None
        self.wallet = None
        self.script_number = 0

    # -- its life

    def start(self):
        if self.rpc_port is None:
            self.rpc_port, self.zmq_port = free_port(), free_port()
        user, password = AUTH.split(":")
        inside = pathlib.Path("/") / self.folder.relative_to(self.root)
        arguments = [
            "-regtest", f"-datadir={inside}", "-server", "-listen=0", "-txindex=0", "-daemon=0",
            f"-rest={int(self.rest)}", f"-rpcport={self.rpc_port}", f"-rpcuser={user}",
            f"-rpcpassword={password}", "-fallbackfee=0.0002", "-dbcache=64", "-maxmempool=50",
            "-printtoconsole=0", "-keypool=10", "-rpcworkqueue=256", "-acceptnonstdtxn=1",
            "-unsafesqlitesync", *self.extra]
        if self.zmq:
            arguments.append(f"-zmqpubhashblock=tcp://127.0.0.1:{self.zmq_port}")
        self.process = subprocess.Popen([*self.command, *arguments], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        start_new_session=True, preexec_fn=die_with_parent)
        self.rpc = Rpc(self.rpc_port, AUTH)
        wait_for("the node's RPC", self._answers)
        return self

    def _answers(self):
        assert self.process.poll() is None, f"bitcoind ended: {self._log_tail()}"
        try:
            return self.rpc.getblockcount() >= 0
        except (OSError, RpcError):
            return False

    def _log_tail(self):
        log = self.folder / "regtest" / "debug.log"
        return log.read_text()[-2000:] if log.exists() else "no log"

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.rpc.close()
            self.process = None

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.rpc_port}"

    @property
    def zmq_url(self):
        return f"tcp://127.0.0.1:{self.zmq_port}"

    # -- its chain

    def height(self):
        return self.rpc.getblockcount()

    def mine(self, count=1, address=NOBODY):
        return self.rpc.generatetoaddress(count, address)

    def mine_empty(self, address=NOBODY):
        """A block without the waiting transactions."""
        return self.rpc.generateblock(address, [])["hash"]

    def block(self, height):
        return bytes.fromhex(self.rpc.getblock(self.rpc.getblockhash(height), 0))

    def blocks(self, first=0, last=None):
        last = self.height() if last is None else last
        for height in range(first, last + 1):
            yield height, self.block(height)

    def mine_new(self, count=1):
        """Blocks that no other call makes: a block that was invalidated must not come again."""
        self.script_number += 1
        return self.rpc.generatetodescriptor(count, f"raw(04{self.script_number:08x}7551)")

    def reorg(self, depth, length=None):
        """Another chain that leaves the present one `depth` blocks below its tip, longer by one
        block or of the length given. Its first block holds again what those blocks held."""
        fork = self.rpc.getblockhash(self.height() - depth + 1)
        self.rpc.invalidateblock(fork)
        return fork, self.mine_new(depth + 1 if length is None else length)

    # -- its wallet

    def make_wallet(self):
        try:
            self.rpc.createwallet("w")
        except RpcError:
            self.rpc.loadwallet("w")
        self.wallet = Rpc(self.rpc_port, AUTH, path="/wallet/w")
        return self.wallet

    def utxos_of(self, scripts):
        """{script: (satoshi, number of outputs)} from scantxoutset, for scripts given as bytes."""
        found = {script: (0, 0) for script in scripts}
        scripts = list(scripts)
        for start in range(0, len(scripts), 500):
            part = [f"raw({script.hex()})" for script in scripts[start:start + 500] if script]
            for unspent in self.rpc.scantxoutset("start", part)["unspents"]:
                script = bytes.fromhex(unspent["scriptPubKey"])
                value, count = found[script]
                found[script] = (value + satoshi(unspent["amount"]), count + 1)
        return found

    def totals(self):
        """(satoshi, number) of all unspent outputs, as the node counts them."""
        info = self.rpc.gettxoutsetinfo("none")
        return satoshi(info["total_amount"]), info["txouts"]


def satoshi(amount):
    return int(decimal.Decimal(amount) * 100_000_000)


def populate(node, blocks=1000, payments=300, seed=1):
    """A chain of `blocks` blocks with some hundred wallet transactions of every usual kind:
    payments to each address type, many outputs at once, spends of several inputs, data outputs."""
    dice = random.Random(seed)
    wallet = node.make_wallet()
    kinds = ["legacy", "p2sh-segwit", "bech32", "bech32m"]
    pay_to = [wallet.getnewaddress("", kind) for kind in kinds for _ in range(10)]
    mine_to = [wallet.getnewaddress("", kind) for kind in kinds]
    for address in mine_to:
        node.mine(10, address)
    node.mine(110)
    sent = 0
    left = blocks - node.height()
    while left > 0:
        for _ in range(min(dice.randrange(1, 8), payments - sent)):
            send_something(wallet, dice, pay_to)
            sent += 1
        step = min(left, dice.randrange(1, 40) if sent < payments else left)
        if sent < payments:  # room for the payments that are left
            step = min(step, max(1, left * 3 // (payments - sent)))
        node.mine(step, dice.choice([NOBODY, NOBODY, *mine_to]))
        left -= step
    assert node.height() == blocks
    return sent


def send_something(wallet, dice, pay_to):
    amount = decimal.Decimal(dice.randrange(10_000, 3_000_000)) / 100_000_000
    kind = dice.randrange(10)
    if kind < 6:
        wallet.sendtoaddress(dice.choice(pay_to), str(amount))
    elif kind < 9:
        targets = dice.sample(pay_to, dice.randrange(2, 20))
        wallet.sendmany("", {target: str(amount) for target in targets})
    else:
        data = dice.randbytes(dice.randrange(1, 80)).hex()
        wallet.send([{dice.choice(pay_to): str(amount)}, {"data": data}])

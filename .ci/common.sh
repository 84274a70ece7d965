# What .ci/run and .ci/nightly share, sourced by both: a folder of their own that is deleted at the end, how stages are
# announced, and work that runs beside the next stages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'for job in $(jobs -p); do kill -- "-$job"; done 2>/dev/null; wait; rm -rf "$work"' EXIT

# Only modules that are imported get compiled, once for all processes, and nowhere in the checkout.
unset PYTHONPATH PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX="$work/pycache" PIP_COMPILE=no
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
export VENV="$work/venv" TMPDIR="$work/tmp"
mkdir "$TMPDIR"

stage() {
    printf '\n=== %s  +%dm%02ds  %s\n' "$(date +%H:%M:%S)" $((SECONDS / 60)) $((SECONDS % 60)) "$*"
}

declare -A beside=()

# start NAME COMMAND...: run a command beside the next stages.
start() {
    local name=$1
    shift
    set -m # in a process group, which can be stopped whole
    "$@" >"$work/$name.log" 2>&1 </dev/null &
    set +m
    beside[$name]=$!
}

# finish NAME: wait for it, show what it printed, stop if it failed.
finish() {
    stage "$1, begun earlier"
    local status=0
    wait "${beside[$1]}" || status=$?
    cat "$work/$1.log"
    return "$status"
}

environment() {
    make "$VENV/.installed-dev" "$VENV/.installed-docs"
    if "$VENV/bin/pip" freeze | grep -i -E '^(nvidia|cuda|triton)'; then
        echo "(the torch of this machine's registry came with CUDA)"
    fi
    "$VENV/bin/pip" check
}

# debian_packages COMMAND PACKAGE...: install packages unless the command is there; without them tests are skipped.
debian_packages() {
    local command=$1
    shift
    if command -v "$command"; then
        return
    elif [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
            || echo "$* could not be installed: tests that need them are skipped."
    else
        echo "No $command, and not root to install it: tests that need it are skipped."
    fi
}

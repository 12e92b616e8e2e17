#!/bin/sh
# Installs what `make demo`, `make test` or `make bench` needs: Debian packages where root, Python packages into .venv.
# Where the rights are missing it says what is missing and how to get it, and changes nothing.
set -eu
profile=${1:?usage: setup.sh demo|test|bench}
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

# program:package, the program being how we see that the package is there
demo_needs="initdb:postgresql redis-server:redis-server nginx:nginx"
test_needs="$demo_needs php-fpm:php-fpm dockerd:docker.io iptables:iptables docker-compose:docker-compose
systemd-nspawn:systemd-container debootstrap:debootstrap ip:iproute2 ps:procps setpriv:util-linux
prometheus:prometheus prometheus-alertmanager:prometheus-alertmanager pgbouncer:pgbouncer"
# what the benchmark of the exporter compares with; nothing of it is left running or enabled
compared="prometheus-node-exporter prometheus-postgres-exporter prometheus-redis-exporter
prometheus-nginx-exporter prometheus-blackbox-exporter"
bench_needs=$test_needs
for name in $compared; do bench_needs="$bench_needs $name:$name"; done
case $profile in
    demo) needs=$demo_needs ;;
    test) needs=$test_needs ;;
    bench) needs=$bench_needs ;;
    *) say "setup.sh: no profile named $profile; use demo, test or bench"; exit 3 ;;
esac

found() {
    case $1 in
        initdb) ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 ;;
        php-fpm) ls /usr/sbin/php-fpm* >/dev/null 2>&1 ;;
        *) command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] ;;
    esac
}

missing=""
for need in $needs; do
    found "${need%%:*}" || missing="$missing ${need##*:}"
done
python=${PYTHON:-python3}
if [ ! -x .venv/bin/python ]; then
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv"
fi

if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        say "missing:$missing"
        say "get it (Debian, Ubuntu): sudo apt-get install --no-install-recommends$missing"
        say "then run this again."
        exit 3
    fi
    say "installing:$missing"
    # The packages must not start services of their own on the well-known ports.
    policy=/usr/sbin/policy-rc.d
    made_policy=""
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
        made_policy=yes
    fi
    trap '[ -z "$made_policy" ] || rm -f $policy' EXIT
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # shellcheck disable=SC2086 # a list of names
    if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        say "setup.sh: apt-get could not install:$missing"
        exit 3
    fi
    rm -f "$log"
    for name in $compared; do
        case $missing in *"$name"*) systemctl disable --quiet "$name" >/dev/null 2>&1 || true ;; esac
    done
fi

wanted=$(cksum <pyproject.toml)
if [ ! -x .venv/bin/python ] || [ "$(cat ".venv/$profile" 2>/dev/null || cat .venv/test 2>/dev/null || true)" != "$wanted" ]; then
    say "installing Python packages into .venv"
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    extra=$profile
    [ "$profile" = demo ] || extra=dev
    log=$(mktemp)
    if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[$extra]" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        say "setup.sh: pip could not install the Python packages (see above)"
        exit 3
    fi
    rm -f "$log"
    printf '%s\n' "$wanted" >".venv/$profile"
fi

# As an installed package comes compiled, so is this checkout: the lab's machines see it read-only and
# would read every module from its source at each look.
.venv/bin/python -m compileall -q opsctl exporters >/dev/null 2>&1 || true

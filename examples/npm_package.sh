# SPDX-License-Identifier: Apache-2.0
# For the fetch.sh of examples, which set `package`, `files` (lines NAME ... SHA-256) and usage().

say() { printf 'fetch.sh: %s\n' "$*" >&2; }

check() { # DIRECTORY
  awk -v folder="$1" 'NF { print $NF "  " folder "/" $1 }' <<<"$files" |
    sha256sum --quiet --check >/dev/null 2>&1
}

# Sets `directory` from the arguments of the script at SCRIPT; ends where everything is there.
choose_directory() { # SCRIPT [ARGUMENT]
  case ${2-} in
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
  esac
  directory=${2:-$(cd "$(dirname "$1")" && pwd)/.cache}
  if check "$directory"; then exit 0; fi
}

# Unpacks the package into $work/package, a folder inside `directory` that goes with the script.
unpack_package() {
  command -v npm >/dev/null || { say "skipped: npm is not installed"; exit 77; }
  mkdir -p "$directory"
  work=$(mktemp -d "$directory/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  if ! (cd "$work" && npm pack --loglevel error "$package" >/dev/null 2>npm.log); then
    tail -n 3 "$work/npm.log" >&2
    say "skipped: npm cannot fetch $package"
    exit 77
  fi
  tar xzf "$work"/*.tgz -C "$work"
}

#!/bin/bash
# Installs what building and running sluice needs on Debian 12, and nothing that isn't missing.
# Starts and enables no system service: the servers run privately, see deploy/local.
# --npm also installs npm, for the tests with others' clients, unless there is one from elsewhere.
# Exit codes: 0 all there, 1 the installation failed, 3 packages are missing and we may not install them.
set -euo pipefail

PACKAGES=(
  # Tools
  g++ cmake ninja-build ccache pkg-config git curl ca-certificates python3 procps
  # Libraries
  libboost-dev librabbitmq-dev libmysqlcppconn-dev libhiredis-dev nlohmann-json3-dev libopenblas-dev
  libcpprest-dev libcurl4-openssl-dev libssl-dev libexpected-dev libcli11-dev libspdlog-dev libfmt-dev
  prometheus-cpp-dev libutf8proc-dev libzstd-dev zlib1g-dev
  # Tests and benches; nodejs brings programs only, no service
  libgtest-dev libgmock-dev libbenchmark-dev nodejs
  # Servers: redis-tools ships the Redis server under the name redis-check-rdb
  mariadb-server-core mariadb-client-core redis-tools rabbitmq-server
)
POLICY=/usr/sbin/policy-rc.d
POLICY_MARK='written by the sluice installer, removed when it ends'

say() { printf 'install: %s\n' "$*"; }

missing_packages() {
  local -A present=()
  local state name
  while read -r state name; do
    [[ $state == installed ]] && present[$name]=1
  done < <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${PACKAGES[@]}" 2>/dev/null || true)
  for name in "${PACKAGES[@]}"; do
    [[ -n ${present[$name]:-} ]] || printf '%s\n' "$name"
  done
}

# Every link by which a unit or an init script starts with the machine.
enabled_links() {
  find /etc/systemd/system -type l 2>/dev/null | sort || true
  find /etc/rc[2-5].d -name 'S*' 2>/dev/null | sort || true
}

# Undoes what packages enabled since `$1` was taken: machine and user find the same services as before.
disable_new() {
  local link name
  while read -r link; do
    case $link in
      '') ;;
      /etc/systemd/*)
        name=${link##*/}
        if [[ -d /run/systemd/system ]]; then
          systemctl --no-reload stop "$name" >/dev/null 2>&1 || true
        fi
        deb-systemd-helper disable "$name" >/dev/null 2>&1 || true
        rm -f "$link"
        say "left disabled: $name" ;;
      *)
        name=${link##*/S??}
        if [[ ! -d /run/systemd/system && ! -e $POLICY ]]; then
          "/etc/init.d/$name" stop >/dev/null 2>&1 || true
        fi
        update-rc.d "$name" disable >/dev/null 2>&1 || true ;;
    esac
  done < <(comm -13 <(sort <<<"$1") <(enabled_links | sort))
  if [[ -d /run/systemd/system ]]; then
    systemctl daemon-reload >/dev/null 2>&1 || true
  fi
}

# Keeps package scripts from starting services. A policy that the machine has already stays as it is.
forbid_starting() {
  if [[ -e $POLICY ]]; then
    grep -q "$POLICY_MARK" "$POLICY" 2>/dev/null && POLICY_OURS=1  # an earlier run was killed
    return 0
  fi
  POLICY_OURS=1
  printf '#!/bin/sh\n# %s\nexit 101\n' "$POLICY_MARK" >"$POLICY"
  chmod 755 "$POLICY"
}

# Runs however the installation ends.
# shellcheck disable=SC2317  # called by the trap
tidy_up() {
  trap - EXIT
  disable_new "$ENABLED_BEFORE"
  if [[ ${POLICY_OURS:-0} == 1 ]]; then
    rm -f "$POLICY"
  fi
}

apt() {
  env DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none NEEDRESTART_SUSPEND=1 \
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

install_missing() {
  ENABLED_BEFORE=$(enabled_links)
  trap tidy_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  forbid_starting

  local lists=(/var/lib/apt/lists/*_Packages*)
  local updated=0
  if [[ ! -e ${lists[0]} ]]; then
    apt update
    updated=1
  fi
  if ! apt install --no-install-recommends "$@"; then
    # Lists that are older than the mirror name files that are gone.
    ((updated)) && return 1
    apt update && apt install --no-install-recommends "$@"
  fi
}

main() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say "this is no Debian system; the packages that are needed are, by their Debian 12 names: ${PACKAGES[*]}" >&2
    return 3
  fi
  if [[ " $* " == *" --npm "* ]] && ! command -v npm >/dev/null; then
    PACKAGES+=(npm)
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then
    [[ ${1:-} == --quiet ]] || say 'everything is installed'
    return 0
  fi
  if ((EUID != 0)); then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo -v; }; }; then
      exec sudo -- "$BASH" "$(readlink -f "${BASH_SOURCE[0]}")" "$@"
    fi
    say 'packages are missing, and installing them takes root. Please run:' >&2
    printf '\n  apt-get update && apt-get install --no-install-recommends -y %s\n\n' "${missing[*]}" >&2
    return 3
  fi
  say "installs ${#missing[@]} packages: ${missing[*]}"
  if ! install_missing "${missing[@]}"; then
    say 'apt-get failed; its messages are above' >&2
    return 1
  fi
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} > 0)); then
    say "still missing after the installation: ${missing[*]}" >&2
    return 1
  fi
  say 'done'
}

main "$@"

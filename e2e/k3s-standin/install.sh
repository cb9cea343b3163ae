#!/bin/sh
# Installs the lab's k3s: same settings, files, modes and messages as the official installer, as far as they are
# recorded. Settings, all by environment:
#   INSTALL_K3S_EXEC or arguments  command and flags of the service; server, or agent if K3S_URL is set
#   INSTALL_K3S_VERSION            release to install; else the one of INSTALL_K3S_CHANNEL
#   INSTALL_K3S_SKIP_DOWNLOAD      true: use the k3s that is in place
#   INSTALL_K3S_SKIP_ENABLE/START  true: do not enable and start / do not start
#   INSTALL_K3S_FORCE_RESTART      true: start again although nothing changed
#   INSTALL_K3S_NAME, _BIN_DIR, _SYSTEMD_DIR, _TYPE, _SYMLINK
#   GITHUB_URL                     where <url>/download/<version>/{k3s,sha256sum-<arch>.txt} are
#   INSTALL_K3S_CHANNEL_URL        where <url>/<channel> names a release
#                                  (the file server fills in its own address for both)
#   K3S_*                          kept for the service in its .env file; the stand-in's own settings belong to the
#                                  machine, not to the installation, and are not
set -e
set -o noglob

BASE_URL=@BASE_URL@
GITHUB_URL=${GITHUB_URL:-${BASE_URL}}
CHANNEL_URL=${INSTALL_K3S_CHANNEL_URL:-${BASE_URL}/channels}

info() { echo '[INFO] ' "$@"; }
warn() { echo '[WARN] ' "$@" >&2; }
fatal() { echo '[ERROR] ' "$@" >&2; exit 1; }

# Each argument in single quotes, safe for a shell and for systemd.
quote() {
    for arg in "$@"; do
        printf '%s\n' "$arg" | sed "s/'/'\\\\''/g;1s/^/'/;\$s/\$/'/"
    done
}

# One quoted argument a line, the form of ExecStart.
quote_lines() {
    printf ' \\\n'
    for arg in "$@"; do
        printf '\t%s \\\n' "$(quote "$arg")"
    done
}

# All punctuation but quotes, slash and space loses its meaning for eval.
escape() {
    printf '%s' "$@" | sed -e 's/\([][!#$%&()*;<=>?\_`{|}]\)/\\\1/g;'
}

check_system() {
    [ -x /bin/systemctl ] || type systemctl >/dev/null 2>&1 ||
        fatal 'Can not find systemd or openrc to use as a process supervisor for k3s'
}

read_settings() {
    case "$1" in
        -*|'')
            if [ -z "${K3S_URL}" ]; then
                COMMAND=server
            else
                [ -n "${K3S_TOKEN}" ] || [ -n "${K3S_TOKEN_FILE}" ] ||
                    fatal "Defaulted k3s exec command to 'agent' because K3S_URL is defined, but K3S_TOKEN, K3S_TOKEN_FILE or K3S_CLUSTER_SECRET is not defined."
                COMMAND=agent
            fi
            ;;
        *)
            COMMAND=$1
            shift
            ;;
    esac
    case "${K3S_URL}" in
        ''|https://*) ;;
        *) fatal "Only https:// URLs are supported for K3S_URL (have ${K3S_URL})" ;;
    esac
    COMMAND_LINE="${COMMAND}$(quote_lines "$@")"

    if [ -n "${INSTALL_K3S_NAME}" ]; then
        SYSTEM_NAME=k3s-${INSTALL_K3S_NAME}
    elif [ "${COMMAND}" = server ]; then
        SYSTEM_NAME=k3s
    else
        SYSTEM_NAME=k3s-${COMMAND}
    fi
    case "${SYSTEM_NAME}" in
        *[!A-Za-z0-9.@:-]*) fatal "Invalid characters for system name: ${SYSTEM_NAME}" ;;
    esac

    SUDO=sudo
    [ "$(id -u)" -ne 0 ] || SUDO=
    BIN_DIR=${INSTALL_K3S_BIN_DIR:-/usr/local/bin}
    SYSTEMD_DIR=${INSTALL_K3S_SYSTEMD_DIR:-/etc/systemd/system}
    SYSTEMD_TYPE=${INSTALL_K3S_TYPE:-notify}
    FILE_SERVICE=${SYSTEMD_DIR}/${SYSTEM_NAME}.service
    FILE_ENV=${SYSTEMD_DIR}/${SYSTEM_NAME}.service.env
    UNINSTALL_SH=${BIN_DIR}/${SYSTEM_NAME}-uninstall.sh
    KILLALL_SH=${BIN_DIR}/k3s-killall.sh
    CHANNEL=${INSTALL_K3S_CHANNEL:-stable}
    HASHES_BEFORE=$(installed_hashes)
}

installed_hashes() {
    $SUDO sha256sum "${BIN_DIR}/k3s" "${FILE_SERVICE}" "${FILE_ENV}" 2>&1 || true
}

fetch() { # file, address
    case ${DOWNLOADER} in
        curl) curl -o "$1" -sfL --connect-timeout 10 --max-time 600 "$2" || fatal 'Download failed' ;;
        wget) wget -qO "$1" --timeout=30 --tries=3 "$2" || fatal 'Download failed' ;;
    esac
}

find_release() {
    if [ -n "${INSTALL_K3S_VERSION}" ]; then
        VERSION=${INSTALL_K3S_VERSION}
    else
        info "Finding release for channel ${CHANNEL}"
        fetch "${TMP_DIR}/channel" "${CHANNEL_URL}/${CHANNEL}"
        VERSION=$(cat "${TMP_DIR}/channel")
    fi
    info "Using ${VERSION} as release"
}

download() {
    if [ "${INSTALL_K3S_SKIP_DOWNLOAD}" = true ]; then
        info 'Skipping k3s download and verify'
        [ -x "${BIN_DIR}/k3s" ] || fatal "Executable k3s binary not found at ${BIN_DIR}/k3s"
        return
    fi
    case $(uname -m) in
        x86_64|amd64) ARCH=amd64 SUFFIX= ;;
        aarch64|arm64) ARCH=arm64 SUFFIX=-arm64 ;;
        *) fatal "Unsupported architecture $(uname -m)" ;;
    esac
    if [ -x "$(command -v curl)" ]; then
        DOWNLOADER=curl
    elif [ -x "$(command -v wget)" ]; then
        DOWNLOADER=wget
    else
        fatal 'Can not find curl or wget for downloading files'
    fi
    case "${GITHUB_URL}" in
        http://*|https://*) ;;
        *) fatal 'No address to download from: set GITHUB_URL' ;;
    esac
    TMP_DIR=$(mktemp -d -t k3s-install.XXXXXXXXXX)
    trap 'code=$?; trap - EXIT; rm -rf "${TMP_DIR}"; exit $code' INT EXIT
    find_release
    HASH_URL=${GITHUB_URL}/download/${VERSION}/sha256sum-${ARCH}.txt
    BIN_URL=${GITHUB_URL}/download/${VERSION}/k3s${SUFFIX}
    info "Downloading hash ${HASH_URL}"
    fetch "${TMP_DIR}/hash" "${HASH_URL}"
    EXPECTED=$(grep " k3s${SUFFIX}\$" "${TMP_DIR}/hash") || fatal 'Download failed'
    EXPECTED=${EXPECTED%%[[:blank:]]*}
    if [ -x "${BIN_DIR}/k3s" ]; then
        PRESENT=$(sha256sum "${BIN_DIR}/k3s")
        if [ "${EXPECTED}" = "${PRESENT%%[[:blank:]]*}" ]; then
            info 'Skipping binary downloaded, installed k3s matches hash'
            return
        fi
    fi
    info "Downloading binary ${BIN_URL}"
    fetch "${TMP_DIR}/k3s" "${BIN_URL}"
    info 'Verifying binary download'
    FOUND=$(sha256sum "${TMP_DIR}/k3s")
    FOUND=${FOUND%%[[:blank:]]*}
    [ "${EXPECTED}" = "${FOUND}" ] ||
        fatal "Download sha256 does not match ${EXPECTED}, got ${FOUND}"
    chmod 755 "${TMP_DIR}/k3s"
    info "Installing k3s to ${BIN_DIR}/k3s"
    $SUDO chown root:root "${TMP_DIR}/k3s"
    $SUDO mv -f "${TMP_DIR}/k3s" "${BIN_DIR}/k3s"
}

create_links() {
    [ "${INSTALL_K3S_SYMLINK}" != skip ] || return 0
    for name in kubectl crictl ctr; do
        present=$(command -v ${name} 2>/dev/null || true)
        if [ "${INSTALL_K3S_SYMLINK}" != force ] && [ -e "${BIN_DIR}/${name}" ]; then
            info "Skipping ${BIN_DIR}/${name} symlink to k3s, already exists"
        elif [ "${INSTALL_K3S_SYMLINK}" != force ] && [ -n "${present}" ]; then
            info "Skipping ${BIN_DIR}/${name} symlink to k3s, command exists in PATH at ${present}"
        else
            info "Creating ${BIN_DIR}/${name} symlink to k3s"
            $SUDO ln -sf k3s "${BIN_DIR}/${name}"
        fi
    done
}

create_killall() {
    info "Creating killall script ${KILLALL_SH}"
    $SUDO tee "${KILLALL_SH}" >/dev/null <<\EOF
#!/bin/sh
[ $(id -u) -eq 0 ] || exec sudo $0 $@

for bin in /var/lib/rancher/k3s/data/**/bin/; do
    [ -d $bin ] && export PATH=$PATH:$bin:$bin/aux
done

set -x

for service in /etc/systemd/system/k3s*.service; do
    [ -s $service ] && systemctl stop $(basename $service)
done

for service in /etc/init.d/k3s*; do
    [ -x $service ] && $service stop
done

pstree() {
    for pid in $@; do
        echo $pid
        pstree $(ps -e -o ppid= -o pid= | awk -v parent=$pid '$1 == parent { print $2 }')
    done
}

killtree() {
    kill -9 $(
        { set +x; } 2>/dev/null;
        pstree $@;
        set -x;
    ) 2>/dev/null
}

getshims() {
    ps -e -o pid= -o args= | sed -e 's/^ *//; s/\s\s*/\t/;' | grep -w 'k3s/data/[^/]*/bin/containerd-shim' | cut -f1
}

killtree $({ set +x; } 2>/dev/null; getshims; set -x)

do_unmount_and_remove() {
    set +x
    while read -r _ path _; do
        case "$path" in $1*) echo "$path" ;; esac
    done < /proc/self/mounts | sort -r | xargs -r -t -n 1 sh -c 'umount "$0" && rm -rf "$0"'
    set -x
}

do_unmount_and_remove '/run/k3s'
do_unmount_and_remove '/var/lib/rancher/k3s'
do_unmount_and_remove '/var/lib/kubelet/pods'
do_unmount_and_remove '/var/lib/kubelet/plugins'
do_unmount_and_remove '/run/netns/cni-'

# Network namespaces and links of the container network.
ip netns show 2>/dev/null | grep cni- | xargs -r -t -n 1 ip netns delete
ip link show 2>/dev/null | grep 'master cni0' | while read ignore iface ignore; do
    iface=${iface%%@*}
    [ -z "$iface" ] || ip link delete $iface
done
ip link delete cni0
ip link delete flannel.1
ip link delete flannel-v6.1
rm -rf /var/lib/cni/
iptables-save | grep -v KUBE- | grep -v CNI- | iptables-restore
EOF
    $SUDO chmod 755 "${KILLALL_SH}"
    $SUDO chown root:root "${KILLALL_SH}"
}

create_uninstall() {
    info "Creating uninstall script ${UNINSTALL_SH}"
    $SUDO tee "${UNINSTALL_SH}" >/dev/null <<EOF
#!/bin/sh
set -x
[ \$(id -u) -eq 0 ] || exec sudo \$0 \$@

${KILLALL_SH}

if command -v systemctl; then
    systemctl disable ${SYSTEM_NAME}
    systemctl reset-failed ${SYSTEM_NAME}
    systemctl daemon-reload
fi
if command -v rc-update; then
    rc-update delete ${SYSTEM_NAME} default
fi

rm -f ${FILE_SERVICE}
rm -f ${FILE_ENV}

remove_uninstall() {
    rm -f ${UNINSTALL_SH}
}
trap remove_uninstall EXIT

if (ls ${SYSTEMD_DIR}/k3s*.service || ls /etc/init.d/k3s*) >/dev/null 2>&1; then
    set +x; echo 'Additional k3s services installed, skipping uninstall of k3s'; set -x
    exit
fi

for cmd in kubectl crictl ctr; do
    if [ -L ${BIN_DIR}/\$cmd ]; then
        rm -f ${BIN_DIR}/\$cmd
    fi
done

rm -rf /etc/rancher/k3s
rm -rf /run/k3s
rm -rf /run/flannel
rm -rf /var/lib/rancher/k3s
rm -rf /var/lib/kubelet
rm -f ${BIN_DIR}/k3s
rm -f ${KILLALL_SH}

if type yum >/dev/null 2>&1; then
    yum remove -y k3s-selinux
elif type zypper >/dev/null 2>&1; then
    zypper remove -y k3s-selinux
fi
EOF
    $SUDO chmod 755 "${UNINSTALL_SH}"
    $SUDO chown root:root "${UNINSTALL_SH}"
}

forget_service() {
    $SUDO systemctl disable "${SYSTEM_NAME}" >/dev/null 2>&1 || true
    $SUDO rm -f "${FILE_SERVICE}" "${FILE_ENV}" || true
}

create_env_file() {
    info "env: Creating environment file ${FILE_ENV}"
    $SUDO touch "${FILE_ENV}"
    $SUDO chmod 0600 "${FILE_ENV}"
    sh -c export | while read -r _ variable; do echo "$variable"; done |
        grep -E '^(K3S|CONTAINERD)_' | grep -v '^K3S_STANDIN_' | $SUDO tee "${FILE_ENV}" >/dev/null
    sh -c export | while read -r _ variable; do echo "$variable"; done |
        grep -Ei '^(NO|HTTP|HTTPS)_PROXY' | $SUDO tee -a "${FILE_ENV}" >/dev/null
}

create_service_file() {
    info "systemd: Creating service file ${FILE_SERVICE}"
    $SUDO tee "${FILE_SERVICE}" >/dev/null <<EOF
[Unit]
Description=Lightweight Kubernetes
Documentation=https://k3s.io
Wants=network-online.target
After=network-online.target

[Install]
WantedBy=multi-user.target

[Service]
Type=${SYSTEMD_TYPE}
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-/etc/sysconfig/%N
EnvironmentFile=-${FILE_ENV}
KillMode=process
Delegate=yes
# Having non-zero Limit*s causes performance problems due to accounting overhead
# in the kernel. We recommend using cgroups to do container-local accounting.
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStartPre=/bin/sh -xc '! /usr/bin/systemctl is-enabled --quiet nm-cloud-setup.service'
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=${BIN_DIR}/k3s \\
    ${COMMAND_LINE}

EOF
    # The mode must not depend on the caller's umask.
    $SUDO chmod 0644 "${FILE_SERVICE}"
}

enable_and_start() {
    [ "${INSTALL_K3S_SKIP_ENABLE}" != true ] || return 0
    info "systemd: Enabling ${SYSTEM_NAME} unit"
    $SUDO systemctl enable "${FILE_SERVICE}" >/dev/null
    $SUDO systemctl daemon-reload >/dev/null
    [ "${INSTALL_K3S_SKIP_START}" != true ] || return 0
    if [ "${HASHES_BEFORE}" = "$(installed_hashes)" ] && [ "${INSTALL_K3S_FORCE_RESTART}" != true ]; then
        info 'No change detected so skipping service start'
        return 0
    fi
    info "systemd: Starting ${SYSTEM_NAME}"
    $SUDO systemctl restart "${SYSTEM_NAME}"
}

eval set -- $(escape "${INSTALL_K3S_EXEC}") $(quote "$@")

check_system
read_settings "$@"
download
create_links
create_killall
create_uninstall
forget_service
create_env_file
create_service_file
enable_and_start

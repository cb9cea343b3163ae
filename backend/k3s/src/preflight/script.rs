//! The probe's shell text: constant, read-only, for any POSIX shell, run as root.

/// Prints a host's facts for [`super::parse_probe`]. Needs only coreutils; other tools are used if they
/// are there. Every tool that might hang is under `timeout`.
pub const PROBE_SCRIPT: &str = r##"#!/bin/sh
# Looks at a host and changes nothing. Every content line is printed behind a bar.
set -u
LC_ALL=C
export LC_ALL
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
has() { command -v "$1" >/dev/null 2>&1; }
quick() { if has timeout; then timeout 5 "$@"; else "$@"; fi; }
section() { printf '@section %s\n' "$1"; }
content() { sed 's/^/|/'; }
# A last line without a line end would run into the marker.
end() { printf '\n@end\n'; }
line() { printf '|%s\n' "$1"; }

printf '@coxswain-probe 1\n'

section user; line "$(id -u)"; end

section os-release
for f in /etc/os-release /usr/lib/os-release; do
    if [ -r "$f" ]; then content <"$f"; break; fi
done
end

section uname; line "$(uname -r)"; line "$(uname -m)"; line "$(uname -n)"; end

section boot-id; cat /proc/sys/kernel/random/boot_id 2>/dev/null | content; end

section init
cat /proc/1/comm 2>/dev/null | content
if [ -d /run/systemd/system ] && has systemctl; then
    line "$(quick systemctl is-system-running 2>/dev/null || :)"
fi
end

section cpus; nproc 2>/dev/null | content; end

section memory; grep -E '^(MemTotal|MemAvailable|SwapTotal):' /proc/meminfo 2>/dev/null | content; end

section cgroup
if [ -r /sys/fs/cgroup/cgroup.controllers ] && grep -qs memory /sys/fs/cgroup/cgroup.controllers; then
    line memory
elif [ -r /proc/cgroups ]; then
    if [ "$(sed -n 's/^memory[[:space:]].*[[:space:]]//p' /proc/cgroups)" = 1 ]; then line memory; else line none; fi
fi
end

section disks
for path in /var/lib/rancher /etc/rancher /usr/local/bin /var/lib/kubelet /tmp; do
    at=$path
    while [ ! -d "$at" ]; do at=${at%/*}; [ -n "$at" ] || at=/; done
    df -Pk "$at" 2>/dev/null | sed -n '2p' | sed "s|^|$path |" | content
done
end

section addresses
if has ip; then
    ip -o addr show 2>/dev/null | content
elif has hostname; then
    hostname -I 2>/dev/null | tr ' ' '\n' | sed '/^$/d;s/^/_ _ inet /' | content
fi
end

section sockets
if has ss && ss -Hlntu >/dev/null 2>&1; then
    line ss
    ss -Hlntup 2>/dev/null | content
elif [ -r /proc/net/tcp ]; then
    line proc
    for table in tcp tcp6 udp udp6; do
        [ -r "/proc/net/$table" ] && sed "s/^/$table /" "/proc/net/$table" | content
    done
fi
end

section clock
now=$(date +%s%3N)
case $now in *[!0-9]*) now=$(date +%s)000 ;; esac
line "$now"
if has timedatectl; then
    quick timedatectl show --property=NTPSynchronized 2>/dev/null | content
fi
end

section firewall
if has ufw && quick ufw status 2>/dev/null | grep -q '^Status: active'; then
    line 'active ufw'
elif has firewall-cmd && [ "$(quick firewall-cmd --state 2>/dev/null)" = running ]; then
    line 'active firewalld'
elif has nft && quick nft list ruleset >/dev/null 2>&1; then
    line "rules $(quick nft list ruleset 2>/dev/null | grep -cE '[[:space:]](drop|reject)')"
elif has iptables && quick iptables -S INPUT >/dev/null 2>&1; then
    line "rules $(quick iptables -S INPUT 2>/dev/null | grep -cE -e '-j (DROP|REJECT)|^-P INPUT DROP')"
fi
end

section datastore
[ -d /var/lib/rancher/k3s/server/db ] && ls -A /var/lib/rancher/k3s/server/db 2>/dev/null | grep -vx 'lost+found' | content
end

section k3s-version
for k3s in /usr/local/bin/k3s /opt/bin/k3s; do
    if [ -x "$k3s" ]; then quick "$k3s" --version 2>/dev/null | head -n 1 | content; break; fi
done
end

section units
# INSTALL_K3S_NAME gives the unit a name of its own. What is merely called like it starts no k3s. Without -r, read
# joins lines as systemd does.
starts_k3s() {
    while read line || [ -n "$line" ]; do printf '%s\n' "$line"; done <"$1" |
        grep -qE '^ExecStart[[:space:]]*=[[:space:]]*[-@:+!|]*/([^[:space:]]*/)?k3s([[:space:]]+-[^[:space:]]+)*[[:space:]]+(server|agent)([[:space:]]|$)'
}
for path in k3s.service k3s-agent.service /etc/systemd/system/k3s-*.service; do
    unit=${path##*/}
    case $path in
    /etc/systemd/system/k3s-agent.service) continue ;;
    /*) [ -f "$path" ] && [ -r "$path" ] && starts_k3s "$path" || continue ;;
    esac
    if has systemctl; then state=$(quick systemctl is-active "$unit" 2>/dev/null || :); else state=unknown; fi
    line "$unit ${state:-unknown}"
done
end

section mounts
while read -r _ at _; do
    case $at in
    /var/lib/rancher/k3s/agent/containerd/*/* | /var/lib/kubelet/pods/* | /var/lib/kubelet/plugins/*) ;;
    /var/lib/rancher/k3s | /var/lib/rancher/k3s/* | /var/lib/kubelet | /var/lib/kubelet/*) line "$at" ;;
    esac
done </proc/self/mounts
end

section leftovers
kind() {
    if [ -L "$1" ]; then line "link $1"
    elif [ -d "$1" ]; then
        # Emptied, mount points and the folders they are in stay.
        if grep -qs " $1[ /]" /proc/self/mounts && [ -z "$(find "$1" ! -type d 2>/dev/null | head -n 1)" ]; then line "mount $1"
        elif [ -n "$(ls -A "$1" 2>/dev/null)" ]; then line "dir $1"
        else line "empty $1"; fi
    elif [ -e "$1" ]; then line "file $1"; fi
}
# A directory with something in it is told by what is in it.
inside() {
    if [ -d "$1" ] && [ ! -L "$1" ] && [ -n "$(ls -A "$1" 2>/dev/null)" ]; then return 0; fi
    kind "$1"
    return 1
}
if inside /var/lib/rancher; then
    # What else lies there is not k3s's, and stays.
    p=/var/lib/rancher/k3s
    inside "$p" && for q in "$p"/*; do
        if [ "$q" = "$p/agent" ]; then
            inside "$q" && for r in "$q"/*; do kind "$r"; done
        else kind "$q"; fi
    done
fi
if inside /etc/rancher; then
    for p in /etc/rancher/k3s /etc/rancher/node; do
        inside "$p" && for q in "$p"/*; do kind "$q"; done
    done
fi
for p in /usr/local/bin/k3s /usr/local/bin/k3s-killall.sh /usr/local/bin/k3s-uninstall.sh \
    /usr/local/bin/k3s-agent-uninstall.sh /var/lib/kubelet /run/k3s /run/flannel /var/lib/cni /run/netns/cni-*; do kind "$p"; done
for u in k3s k3s-agent; do
    for p in service service.env service.d; do kind "/etc/systemd/system/$u.$p"; done
    kind "/run/systemd/system/$u.service.d"
    # The unit reads them, and a later installation's would. One for a proxy alone may be there on purpose.
    for p in default sysconfig; do
        grep -qsE '^[[:space:]]*K3S_' "/etc/$p/$u" && kind "/etc/$p/$u"
    done
done
for p in kubectl crictl ctr; do
    [ "$(readlink "/usr/local/bin/$p" 2>/dev/null)" = k3s ] && kind "/usr/local/bin/$p"
done
for p in cni0 flannel.1 flannel-v6.1 flannel-wg flannel-wg-v6 kube-ipvs0; do
    [ -e "/sys/class/net/$p" ] && line "interface $p"
done
end

for f in /etc/rancher/k3s/config.yaml /etc/rancher/k3s/config.yaml.d/*; do
    case $f in *.yaml | *.yml | *.YAML | *.YML) ;; *) continue ;; esac
    [ -f "$f" ] && [ -r "$f" ] || continue
    section "config-file $f"; head -c 65536 "$f" | content; end
done

section tools
for t in curl wget iptables ip ss mount openssl bash python3 perl socat nc timeout systemd-run tar base64 sha256sum; do
    has "$t" && line "$t"
done
has /usr/libexec/platform-python && line platform-python
end

section selinux
if has getenforce && [ "$(quick getenforce)" = Enforcing ]; then
    quick getsebool haproxy_connect_any 2>/dev/null | content
fi
end

section jobs
for p in /var/lib/coxswain/jobs/*; do [ -d "$p" ] && line "${p##*/}"; done
end

section job-units
if has systemctl; then
    quick systemctl list-units --all --plain --no-legend 'coxswain-*' 2>/dev/null |
        while read -r unit _ state _; do line "$unit $state"; done
fi
end

printf '@done\n'
"##;

//! What makes and ends the faults on a host: constant scripts.
//!
//! Hosts without a firewall tool of their own have the one that k3s brings along and makes its own rules with, last in the
//! PATH as k3s itself has it. With another `data-dir` it lies elsewhere: the gate says then that no tool works.

use crate::world::Script;

/// `$1` the unit. Does not wait: that it has stopped is what is looked for.
pub(crate) const STOP: Script = Script {
    name: "drill-stop",
    text: "systemctl stop --no-block \"$1\"\n",
};

/// `$1` the unit. Only its main process: containers go on running, as when k3s crashes. Nothing to kill is
/// no error: then it has been killed a moment ago.
pub(crate) const KILL: Script = Script {
    name: "drill-kill",
    text: r#"pid=$(systemctl show "$1" -p MainPID)
pid=${pid#MainPID=}
[ "${pid:-0}" -gt 1 ] || exit 0
kill -s KILL "$pid"
"#,
};

/// `$1` the unit.
pub(crate) const START: Script = Script {
    name: "drill-start",
    text: r#"systemctl reset-failed "$1" 2>/dev/null
systemctl start --no-block "$1"
"#,
};

/// `$1` sshd's port as the panel reaches it, then the addresses that are cut off. What sshd listens on stays
/// open for everybody: the panel may sit on one of the addresses. Behind the translation of service addresses,
/// so that pods and kubelet do not get around it. Which tool makes rules is noted first, for [`MEND`].
pub(crate) const CUT: Script = Script {
    name: "drill-cut",
    text: r#"PATH=$PATH:/var/lib/rancher/k3s/data/current/bin/aux
ports="22 $1 $(sshd -T 2>/dev/null | sed -n 's/^port //p')"
shift
made=/run/coxswain/drill-cut
(umask 077 && mkdir -p "${made%/*}") || exit 1
if nft list tables >/dev/null 2>&1; then
    echo nft >>"$made" || exit 1
    {
        echo 'table inet coxswain_drill'
        echo 'delete table inet coxswain_drill'
        echo 'table inet coxswain_drill {'
        echo 'chain from_peers {'
        echo 'type filter hook prerouting priority -150; policy accept;'
        for port in $ports; do echo "tcp dport $port accept"; done
        for address in "$@"; do
            case $address in *:*) echo "ip6 saddr $address drop" ;; *) echo "ip saddr $address drop" ;; esac
        done
        echo '}'
        echo 'chain to_peers {'
        echo 'type filter hook postrouting priority -150; policy accept;'
        for port in $ports; do echo "tcp sport $port accept"; done
        for address in "$@"; do
            case $address in *:*) echo "ip6 daddr $address drop" ;; *) echo "ip daddr $address drop" ;; esac
        done
        echo '}'
        echo '}'
    } | nft -f -
    exit
fi
for tool in iptables ip6tables; do
    command -v "$tool" >/dev/null 2>&1 || continue
    mine=
    for address in "$@"; do
        case $tool$address in iptables*:*) ;; iptables*|ip6tables*:*) mine="$mine $address" ;; esac
    done
    [ -n "$mine" ] || continue
    echo "$tool" >>"$made" || exit 1
    for hook in PREROUTING POSTROUTING; do
        chain=COXSWAIN-$hook
        while "$tool" -w 10 -t mangle -D "$hook" -j "$chain" 2>/dev/null; do :; done
        "$tool" -w 10 -t mangle -N "$chain" 2>/dev/null || "$tool" -w 10 -t mangle -F "$chain" || exit 1
        for port in $ports; do
            case $hook in PREROUTING) way=--dport ;; *) way=--sport ;; esac
            "$tool" -w 10 -t mangle -A "$chain" -p tcp "$way" "$port" -j ACCEPT || exit 1
        done
        for address in $mine; do
            case $hook in PREROUTING) way=-s ;; *) way=-d ;; esac
            "$tool" -w 10 -t mangle -A "$chain" "$way" "$address" -j DROP || exit 1
        done
    done
    for hook in PREROUTING POSTROUTING; do
        "$tool" -w 10 -t mangle -I "$hook" -j "COXSWAIN-$hook" || exit 1
    done
done
"#,
};

/// Takes the rules of [`CUT`] away, whichever tool made them. Fails while any of them is left, and while a tool that has
/// made some does not say that they are gone: the lock of iptables may be held for longer than it waits.
pub(crate) const MEND: Script = Script {
    name: "drill-mend",
    text: r#"PATH=$PATH:/var/lib/rancher/k3s/data/current/bin/aux
made=/run/coxswain/drill-cut
left=no
for tool in nft iptables ip6tables; do
    command -v "$tool" >/dev/null 2>&1 || continue
    if [ "$tool" = nft ]; then
        nft delete table inet coxswain_drill 2>/dev/null
        rules=$(nft list tables 2>/dev/null)
    else
        for hook in PREROUTING POSTROUTING; do
            chain=COXSWAIN-$hook
            while "$tool" -w 10 -t mangle -D "$hook" -j "$chain" 2>/dev/null; do :; done
            "$tool" -w 10 -t mangle -F "$chain" 2>/dev/null && "$tool" -w 10 -t mangle -X "$chain" 2>/dev/null
        done
        rules=$("$tool" -w 10 -t mangle -S 2>/dev/null)
    fi
    if [ $? -ne 0 ]; then
        grep -qx "$tool" "$made" 2>/dev/null && left="whatever $tool has: it does not say"
        continue
    fi
    case $rules in *coxswain_drill*|*COXSWAIN-*) left="rules of $tool" ;; esac
done
if [ "$left" != no ]; then
    echo "the network is still cut: $left" >&2
    exit 1
fi
rm -f "$made"
"#,
};

/// Prints which firewall tool works, and whether rules of [`CUT`] are there: `yes`, `no`, or `part` of them.
pub(crate) const RULES: Script = Script {
    name: "drill-rules",
    text: r#"PATH=$PATH:/var/lib/rancher/k3s/data/current/bin/aux
cut=no
if nft list tables >/dev/null 2>&1; then
    echo tool=nft
    ! nft list table inet coxswain_drill >/dev/null 2>&1 || cut=yes
elif iptables -w 10 -t mangle -S >/dev/null 2>&1; then
    echo tool=iptables
else
    echo tool=none
fi
if [ "$cut" = no ]; then
    hooked=0
    for tool in iptables ip6tables; do
        for hook in PREROUTING POSTROUTING; do
            "$tool" -w 10 -t mangle -S "$hook" 2>/dev/null | grep -q -- "-j COXSWAIN-$hook" && hooked=$((hooked + 1))
        done
    done
    case $hooked in 0) ;; 2|4) cut=yes ;; *) cut=part ;; esac
fi
echo "cut=$cut"
"#,
};

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::process::{Command, Output};

    use super::*;

    /// A firewall tool in a folder: what it is told goes into `calls`, its chains into `chains`. It works unless `broken` is
    /// there, and then fails as iptables does while somebody holds its lock.
    const IPTABLES: &str = r#"#!/bin/sh
cd "$(dirname "$0")/.." || exit 9
tool=${0##*/}
echo "$tool $*" >>calls
[ ! -e broken ] || exit 4
shift 4
touch "$tool.chains" "$tool.hooks"
case $1 in
-N) grep -qx "$2" "$tool.chains" && exit 1; echo "$2" >>"$tool.chains" ;;
-F) grep -qx "$2" "$tool.chains" || exit 1 ;;
-X) sed -i "/^$2\$/d" "$tool.chains" ;;
-I) echo "$4" >>"$tool.hooks" ;;
-D) grep -qx "$4" "$tool.hooks" || exit 1; sed -i "/^$4\$/d" "$tool.hooks" ;;
-S) sed 's/^/-N /' "$tool.chains"; sed 's/^/-A HOOK -j /' "$tool.hooks" ;;
esac
exit 0
"#;

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let machine = Self(dir);
            for tool in ["bin/iptables", "bin/ip6tables"] {
                machine.tool(tool, IPTABLES);
            }
            for tool in ["bin/nft", "bin/sshd"] {
                machine.tool(tool, "#!/bin/sh\nexit 1\n");
            }
            machine
        }

        /// The same with no tool but the one that k3s brings along.
        fn bare() -> Self {
            let machine = Self::new();
            for tool in ["iptables", "ip6tables"] {
                fs::remove_file(machine.path().join("bin").join(tool)).unwrap();
                machine.tool(&format!("aux/{tool}"), IPTABLES);
            }
            machine
        }

        fn tool(&self, name: &str, text: &str) {
            let file = self.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        /// Runs a script with the tools of this folder, and this folder as /run/coxswain.
        fn run(&self, script: Script, args: &[&str]) -> Output {
            let here = self.path().display().to_string();
            let path = format!("{here}/bin:/usr/bin:/bin");
            let text = script.text.replace("/run/coxswain", &here);
            let text = text.replace("/var/lib/rancher/k3s/data/current/bin", &here);
            Command::new("sh")
                .arg("-c")
                .arg(text)
                .arg("sh")
                .args(args)
                .env("PATH", path)
                .output()
                .unwrap()
        }

        fn jam(&self, jam: bool) {
            let file = self.path().join("broken");
            if jam {
                fs::write(file, "").unwrap();
            } else {
                fs::remove_file(file).unwrap();
            }
        }

        fn cut(&self) -> String {
            let said = self.run(RULES, &[]).stdout;
            String::from_utf8(said).unwrap()
        }
    }

    #[test]
    fn rules_that_stay_are_told() {
        let machine = Machine::new();
        // Nothing is there: nothing to mend.
        assert!(machine.run(MEND, &[]).status.success());
        let made = machine.run(CUT, &["22", "10.0.0.2", "10.0.0.3"]);
        assert!(made.status.success(), "{made:?}");
        assert!(machine.cut().contains("cut=yes"), "{}", machine.cut());
        machine.jam(true);
        let mended = machine.run(MEND, &[]);
        assert!(!mended.status.success(), "{mended:?}");
        machine.jam(false);
        assert!(machine.cut().contains("cut=yes"), "{}", machine.cut());
        let mended = machine.run(MEND, &[]);
        assert!(mended.status.success(), "{mended:?}");
        assert!(machine.cut().contains("cut=no"), "{}", machine.cut());
        assert!(!machine.path().join("drill-cut").exists());
        // Again: nothing happens.
        assert!(machine.run(MEND, &[]).status.success());
    }

    /// With the tool of k3s rules are made, seen and taken away.
    #[test]
    fn k3s_brings_a_tool_along() {
        let machine = Machine::bare();
        assert_eq!(machine.cut(), "tool=iptables\ncut=no\n");
        let made = machine.run(CUT, &["22", "10.0.0.2", "fd00::2"]);
        assert!(made.status.success(), "{made:?}");
        assert_eq!(machine.cut(), "tool=iptables\ncut=yes\n");
        let mended = machine.run(MEND, &[]);
        assert!(mended.status.success(), "{mended:?}");
        assert_eq!(machine.cut(), "tool=iptables\ncut=no\n");
    }

    /// Rules are given to nft by what it calls its input itself, which needs no right to open that anew.
    #[test]
    fn nft_reads_what_it_is_given() {
        let machine = Machine::new();
        machine.tool(
            "bin/nft",
            "#!/bin/sh\n[ \"$*\" != '-f -' ] || cat >\"${0%/*}/../rules\"\n",
        );
        let made = machine.run(CUT, &["2222", "10.0.0.2", "fd00::2"]);
        assert!(made.status.success(), "{made:?}");
        let rules = fs::read_to_string(machine.path().join("rules")).unwrap();
        for rule in [
            "tcp dport 2222 accept",
            "ip saddr 10.0.0.2 drop",
            "ip6 daddr fd00::2 drop",
        ] {
            assert!(rules.contains(rule), "{rule} in {rules}");
        }
    }

    /// A tool that never worked here has made no rules.
    #[test]
    fn a_tool_that_does_not_work_is_no_hindrance() {
        let machine = Machine::new();
        machine.jam(true);
        assert!(machine.run(MEND, &[]).status.success());
    }
}

//! The faults of a drill: how each is made, seen and taken away.

use std::net::IpAddr;

use coxswain_engine::step::StepFailure;
use coxswain_wire::{DrillFault, HostId, PowerControl};
use serde::{Deserialize, Serialize};

use super::super::failure;
use super::super::kube::ApiHost;
use super::super::sections::value;
use super::super::unit::UnitLook;
use crate::world::{RemoteCommand, Script, World};

/// The unit of a server.
pub(crate) const UNIT: &str = "k3s.service";

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
/// so that pods and kubelet do not get around it.
pub(crate) const CUT: Script = Script {
    name: "drill-cut",
    text: r#"ports="22 $1 $(sshd -T 2>/dev/null | sed -n 's/^port //p')"
shift
if nft list tables >/dev/null 2>&1; then
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
    } | nft -f /dev/stdin
    exit
fi
for tool in iptables ip6tables; do
    command -v "$tool" >/dev/null 2>&1 || continue
    mine=
    for address in "$@"; do
        case $tool$address in iptables*:*) ;; iptables*|ip6tables*:*) mine="$mine $address" ;; esac
    done
    [ -n "$mine" ] || continue
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

/// Takes the rules of [`CUT`] away, whichever tool made them.
pub(crate) const MEND: Script = Script {
    name: "drill-mend",
    text: r#"if command -v nft >/dev/null 2>&1 && nft list table inet coxswain_drill >/dev/null 2>&1; then
    nft delete table inet coxswain_drill || exit 1
fi
for tool in iptables ip6tables; do
    command -v "$tool" >/dev/null 2>&1 || continue
    for hook in PREROUTING POSTROUTING; do
        chain=COXSWAIN-$hook
        while "$tool" -w 10 -t mangle -D "$hook" -j "$chain" 2>/dev/null; do :; done
        "$tool" -w 10 -t mangle -F "$chain" 2>/dev/null && "$tool" -w 10 -t mangle -X "$chain"
    done
done
exit 0
"#,
};

/// Prints which firewall tool works, and whether rules of [`CUT`] are there: `yes`, `no`, or `part` of them.
pub(crate) const RULES: Script = Script {
    name: "drill-rules",
    text: r#"cut=no
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

/// What is done to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// k3s is stopped.
    Stopped,
    /// The process of k3s is killed.
    Killed,
    /// The network to its peers is cut.
    Cut {
        /// Other nodes and load balancers.
        peers: Vec<IpAddr>,
        /// Where the panel reaches sshd.
        ssh_port: u16,
    },
    /// The power is switched off.
    PowerOff {
        /// How.
        control: PowerControl,
    },
}

/// Whether the fault is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is, in words.
    There(String),
    /// Nothing of it is, in words.
    Gone(String),
    /// On its way from one to the other, in words.
    Between(String),
}

/// The power of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    /// It is on.
    On,
    /// It is off.
    Off,
}

impl Fault {
    /// Its name in reports.
    pub(crate) fn name(&self) -> DrillFault {
        match self {
            Fault::Stopped => DrillFault::Stopped,
            Fault::Killed => DrillFault::Killed,
            Fault::Cut { .. } => DrillFault::Cut,
            Fault::PowerOff { .. } => DrillFault::PowerOff,
        }
    }

    /// The victim's pods cannot be reached from the moment of the fault on; else they go on running.
    pub(crate) fn takes_pods(&self) -> bool {
        match self {
            Fault::Stopped | Fault::Killed => false,
            Fault::Cut { .. } | Fault::PowerOff { .. } => true,
        }
    }

    /// What a timer on the victim itself runs to take the fault away; none if it cannot.
    pub(crate) fn by_itself(&self) -> Option<(Script, Vec<String>)> {
        match self {
            Fault::Stopped | Fault::Killed => Some((START, vec![UNIT.to_owned()])),
            Fault::Cut { .. } => Some((MEND, Vec::new())),
            Fault::PowerOff { .. } => None,
        }
    }

    /// Makes it.
    pub(crate) async fn make(&self, world: &dyn World, host: HostId) -> Result<(), StepFailure> {
        match self {
            Fault::Stopped => run(world, host, RemoteCommand::script(STOP).arg(UNIT)).await,
            Fault::Killed => run(world, host, RemoteCommand::script(KILL).arg(UNIT)).await,
            Fault::Cut { peers, ssh_port } => {
                let command = RemoteCommand::script(CUT)
                    .arg(ssh_port.to_string())
                    .args(peers.iter().map(IpAddr::to_string));
                run(world, host, command).await
            }
            Fault::PowerOff { control } => run(world, control.via, typed(&control.off)?).await,
        }
    }

    /// Takes it away.
    pub(crate) async fn heal(&self, world: &dyn World, host: HostId) -> Result<(), StepFailure> {
        match self {
            Fault::Stopped | Fault::Killed => {
                run(world, host, RemoteCommand::script(START).arg(UNIT)).await
            }
            Fault::Cut { .. } => run(world, host, RemoteCommand::script(MEND)).await,
            Fault::PowerOff { control } => run(world, control.via, typed(&control.on)?).await,
        }
    }

    /// Looks for it. `before` is the InvocationID of k3s before the fault.
    pub(crate) async fn look(
        &self,
        world: &dyn World,
        victim: &ApiHost,
        before: Option<&str>,
    ) -> Result<Seen, StepFailure> {
        match self {
            Fault::Stopped | Fault::Killed => {
                let look = UnitLook::take(world, victim.host, UNIT, None).await?;
                Ok(of_unit(self, &look, before))
            }
            Fault::Cut { .. } => match Rules::look(world, victim.host).await?.cut.as_str() {
                "yes" => Ok(Seen::There("the network to its peers is cut".to_owned())),
                "no" => back(world, victim, "no rule of the drill is in the firewall").await,
                other => Ok(Seen::Between(format!(
                    "the firewall has the drill's rules: {other}"
                ))),
            },
            Fault::PowerOff { control } => match power(world, control).await? {
                Power::Off => Ok(Seen::There(format!("{} is off", victim.name))),
                Power::On => back(world, victim, &format!("{} is on", victim.name)).await,
            },
        }
    }
}

/// What was done to the host is undone: the fault is gone when k3s runs again, too.
async fn back(world: &dyn World, victim: &ApiHost, undone: &str) -> Result<Seen, StepFailure> {
    match UnitLook::take(world, victim.host, UNIT, None).await {
        Ok(look) if look.active() => Ok(Seen::Gone(format!("{undone}, {UNIT} is active"))),
        Ok(look) => Ok(Seen::Between(format!("{undone}, {UNIT} is {}", look.state))),
        // It boots.
        Err(StepFailure::Unreachable(error)) => {
            Ok(Seen::Between(format!("{undone}, but: {}", error.message)))
        }
        Err(fatal @ StepFailure::Fatal(_)) => Err(fatal),
    }
}

fn of_unit(fault: &Fault, look: &UnitLook, before: Option<&str>) -> Seen {
    let state = format!("{UNIT} is {}", look.state);
    let killed = *fault == Fault::Killed;
    let again = before.is_some_and(|before| look.invocation != before);
    if killed && before.is_some() && (again || !look.active()) {
        return Seen::There(if look.active() {
            "k3s was killed, and systemd has started it again".to_owned()
        } else {
            format!("k3s was killed: {state}")
        });
    }
    if look.active() {
        Seen::Gone(state)
    } else if look.stopped() {
        Seen::There(state)
    } else {
        Seen::Between(state)
    }
}

/// What the firewall says.
pub(crate) struct Rules {
    /// `nft`, `iptables` or `none`.
    pub(crate) tool: String,
    /// `yes`, `no` or `part`.
    pub(crate) cut: String,
}

impl Rules {
    /// Looks.
    pub(crate) async fn look(world: &dyn World, host: HostId) -> Result<Self, StepFailure> {
        let answer = world
            .run(host, RemoteCommand::script(RULES).sudo())
            .await
            .and_then(|o| o.ok(RULES.name))
            .map_err(failure::world)?;
        let text = answer.text();
        let word = |key: &str| value(&text, key).unwrap_or_default().to_owned();
        Ok(Self {
            tool: word("tool"),
            cut: word("cut"),
        })
    }
}

/// Whether a host has power, by its control.
pub(crate) async fn power(world: &dyn World, control: &PowerControl) -> Result<Power, StepFailure> {
    let command = typed(&control.status)?.sudo();
    let name = command.name().to_owned();
    let answer = world
        .run(control.via, command)
        .await
        .and_then(|o| o.ok(&name))
        .map_err(failure::world)?;
    told(&answer.text()).ok_or_else(|| {
        failure::fatal(
            format!(
                "{} does not say whether the power is on: {:?}",
                control.status.join(" "),
                answer.text().chars().take(200).collect::<String>()
            ),
            "Correct the host's power control: its status must print on or off, running or shut off.",
        )
    })
}

/// What a status says; nothing if it says both or neither.
fn told(text: &str) -> Option<Power> {
    let lower = text.to_ascii_lowercase();
    let has = |wanted: &str| {
        lower
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| word == wanted)
    };
    match (has("on") || has("running"), has("off")) {
        (true, false) => Some(Power::On),
        (false, true) => Some(Power::Off),
        (true, true) | (false, false) => None,
    }
}

fn typed(words: &[String]) -> Result<RemoteCommand, StepFailure> {
    let (program, args) = words
        .split_first()
        .ok_or_else(|| StepFailure::fatal("the power control has no command"))?;
    Ok(RemoteCommand::program(program).args(args))
}

async fn run(world: &dyn World, host: HostId, command: RemoteCommand) -> Result<(), StepFailure> {
    let command = command.sudo().timeout(std::time::Duration::from_secs(90));
    let name = command.name().to_owned();
    world
        .run(host, command)
        .await
        .and_then(|o| o.ok(&name))
        .map_err(failure::world)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_is_read_as_tools_say_it() {
        for (text, power) in [
            ("on\n", Some(Power::On)),
            ("Chassis Power is off\n", Some(Power::Off)),
            ("running\n", Some(Power::On)),
            ("shut off\n", Some(Power::Off)),
            ("button\n", None),
            ("on or off?", None),
            ("", None),
        ] {
            assert_eq!(told(text), power, "{text}");
        }
    }

    #[test]
    fn a_killed_k3s_is_told_by_its_invocation() {
        let look = |state: &str, invocation: &str| UnitLook {
            state: state.to_owned(),
            invocation: invocation.to_owned(),
            ..UnitLook::default()
        };
        let seen = |look: &UnitLook| of_unit(&Fault::Killed, look, Some("a"));
        assert!(matches!(seen(&look("active", "a")), Seen::Gone(_)));
        assert!(matches!(seen(&look("activating", "a")), Seen::There(_)));
        assert!(matches!(seen(&look("active", "b")), Seen::There(_)));
        let after = of_unit(&Fault::Killed, &look("active", "b"), None);
        assert!(matches!(after, Seen::Gone(_)));
        let stopping = of_unit(&Fault::Stopped, &look("deactivating", "a"), Some("a"));
        assert!(matches!(stopping, Seen::Between(_)));
    }
}

//! The faults of a drill: how each is made, seen and taken away.

use std::net::IpAddr;

use coxswain_engine::step::StepFailure;
use coxswain_wire::{DrillFault, HostId, PowerControl};
use serde::{Deserialize, Serialize};

use super::super::failure;
use super::super::kube::ApiHost;
use super::super::sections::value;
use super::super::unit::UnitLook;
use super::power::{Power, power, switch};
use super::scripts::{CUT, KILL, MEND, RULES, START, STOP};
use crate::world::{RemoteCommand, Script, World};

/// The unit of a server.
pub(crate) const UNIT: &str = "k3s.service";

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
            Fault::PowerOff { control } => switch(world, control, Power::Off).await,
        }
    }

    /// Takes it away.
    pub(crate) async fn heal(&self, world: &dyn World, host: HostId) -> Result<(), StepFailure> {
        match self {
            Fault::Stopped | Fault::Killed => {
                run(world, host, RemoteCommand::script(START).arg(UNIT)).await
            }
            Fault::Cut { .. } => run(world, host, RemoteCommand::script(MEND)).await,
            Fault::PowerOff { control } => switch(world, control, Power::On).await,
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

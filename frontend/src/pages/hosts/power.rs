//! How another host switches a host's power.

use coxswain_wire::{Host, HostId, PowerControl};
use leptos::prelude::*;

use super::Data;
use crate::components::field::{SelectField, TextField};
use crate::components::form::Form;

/// Part of a host's form. Commands are typed as words between spaces.
#[derive(Clone, Copy)]
pub(super) struct PowerInput {
    via: RwSignal<String>,
    on: RwSignal<String>,
    off: RwSignal<String>,
    status: RwSignal<String>,
}

impl PowerInput {
    /// Filled in with what a host has.
    pub(super) fn of(control: Option<&PowerControl>) -> Self {
        let words = |of: fn(&PowerControl) -> &Vec<String>| {
            RwSignal::new(control.map(|c| of(c).join(" ")).unwrap_or_default())
        };
        Self {
            via: RwSignal::new(control.map(|c| c.via.to_string()).unwrap_or_default()),
            on: words(|c| &c.on),
            off: words(|c| &c.off),
            status: words(|c| &c.status),
        }
    }

    /// What was typed; none without a host that switches.
    pub(super) fn value(self) -> Option<PowerControl> {
        let words = |signal: RwSignal<String>| -> Vec<String> {
            let typed = signal.get_untracked();
            typed.split_whitespace().map(str::to_owned).collect()
        };
        let via = self.via.get_untracked().parse().ok()?;
        Some(PowerControl {
            via: HostId(via),
            on: words(self.on),
            off: words(self.off),
            status: words(self.status),
        })
    }
}

/// The fields.
#[component]
pub(super) fn PowerFields(
    form: Form,
    data: Data,
    input: PowerInput,
    /// The host itself cannot switch itself on.
    own: Option<HostId>,
) -> impl IntoView {
    let entries = Signal::derive(move || {
        let hosts: Vec<Host> = data.hosts.value().unwrap_or_default();
        let others = hosts.into_iter().filter(|host| Some(host.id) != own);
        std::iter::once((String::new(), "not by the panel".to_owned(), true))
            .chain(others.map(|host| (host.id.to_string(), format!("by {}", host.name), true)))
            .collect::<Vec<_>>()
    });
    let shown = Memo::new(move |_| !input.via.get().is_empty());
    view! {
        <SelectField form name="power.via" label="Power is switched" value=input.via entries optional=true
            help="By commands on another enrolled host, as root. Failover drills need it to switch this host off and on again."/>
        {move || shown.get().then(|| view! {
            <div class="form-grid">
                <TextField form name="power.on" label="Command: on" value=input.on mono=true placeholder="ipmitool -f /root/bmc -H bmc1 chassis power on"
                    help="Words between spaces, without quotes. No passwords: they would be seen in the list of processes."/>
                <TextField form name="power.off" label="Command: off" value=input.off mono=true placeholder="ipmitool -f /root/bmc -H bmc1 chassis power off"
                    help="As if the plug was pulled."/>
            </div>
            <TextField form name="power.status" label="Command: status" value=input.status mono=true placeholder="ipmitool -f /root/bmc -H bmc1 chassis power status"
                help="Must print on or off, or running or shut off."/>
        }.into_any())}
    }
    .into_any()
}

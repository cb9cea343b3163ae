//! Hosts and the key pairs the panel signs in with.

mod credential;
mod credentials;
mod detail;
mod enrol;
mod form;
mod power;

use coxswain_wire::{Credential, Enrolment, Host, HostId, Permission};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_navigate, use_query_map};

use crate::components::badge::Tag;
use crate::components::button::{Button, Look};
use crate::components::dialog::Dialog;
use crate::components::empty::Empty;
use crate::components::icon::{Glyph, Icon};
use crate::components::panel::{PageHead, Panel};
use crate::load::{Loaded, load};
use crate::paths;
use crate::state::{App, app};
use crate::words::{self, Tone};

/// What the page works on.
#[derive(Clone, Copy)]
struct Data {
    app: App,
    hosts: Loaded<Vec<Host>>,
    credentials: Loaded<Vec<Credential>>,
    /// What is open on top of the list.
    open: RwSignal<Open>,
}

/// The dialog on top of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    Add,
    Edit(HostId),
    /// Fingerprints, then the connection test.
    Enrol(HostId),
    Detail(HostId),
    Delete(HostId),
}

impl Data {
    fn host(self, id: HostId) -> Option<Host> {
        self.hosts
            .value()
            .and_then(|hosts| hosts.into_iter().find(|h| h.id == id))
    }

    /// Puts a changed or new host into the list.
    fn put(self, host: Host) {
        self.hosts
            .update(|hosts| match hosts.iter_mut().find(|h| h.id == host.id) {
                Some(old) => *old = host,
                None => hosts.push(host),
            });
    }
}

/// How far a host is, in words.
pub(crate) fn test_look(host: &Host) -> words::Look {
    match (&host.enrolment, &host.last_test) {
        (Enrolment::Unconfirmed, _) => ("Fingerprint not confirmed", Tone::Warn, Icon::Key),
        (Enrolment::Pinned { .. }, None) => ("Not tested", Tone::Quiet, Icon::Circle),
        (Enrolment::Pinned { .. }, Some(test)) if test.passed() => {
            ("Connected", Tone::Good, Icon::Check)
        }
        (Enrolment::Pinned { .. }, Some(_)) => ("Connection failed", Tone::Bad, Icon::Cross),
    }
}

/// The hosts page.
#[component]
pub(crate) fn Hosts() -> impl IntoView {
    let app = app();
    app.at(vec![("Hosts".into(), None)]);
    let query = use_query_map();
    let data = Data {
        app,
        hosts: load(move || {
            let api = app.api();
            async move { api.hosts().await }
        }),
        credentials: load(move || {
            let api = app.api();
            async move { api.credentials().await }
        }),
        open: RwSignal::new(Open::Nothing),
    };
    Effect::new(move |_| {
        query.with(|query| {
            if query.get_str("add").is_some() {
                data.open.set(Open::Add);
            } else if let Some(id) = query.get_str("host").and_then(|id| id.parse().ok()) {
                data.open.set(Open::Detail(HostId(id)));
            }
        });
    });
    let may = move || app.may(Permission::Operate);
    view! {
        <PageHead title="Hosts" intro="Machines the panel reaches over SSH. It connects to no other address.">
            {move || may().then(|| view! {
                <Button look=Look::Primary icon=Icon::Plus testid="host-add" key="n" on_click=move |_| data.open.set(Open::Add)>"Add host"</Button>
            }.into_any())}
        </PageHead>
        {data.hosts.view(move |hosts| list(hosts, data))}
        <credentials::Credentials data/>
        <Dialogs data/>
    }.into_any()
}

/// Whatever is open on top; closing it also takes it out of the address.
#[component]
fn Dialogs(data: Data) -> impl IntoView {
    let shown = RwSignal::new(false);
    let navigate = use_navigate();
    let query = use_query_map();
    Effect::new(move |_| shown.set(data.open.get() != Open::Nothing));
    Effect::new(move |_| {
        if !shown.get() && data.open.get_untracked() != Open::Nothing {
            data.open.set(Open::Nothing);
        }
    });
    Effect::new(move |was: Option<Open>| {
        let is = data.open.get();
        let asked =
            query.with_untracked(|q| q.get_str("add").is_some() || q.get_str("host").is_some());
        if asked && is == Open::Nothing && was.is_some_and(|was| was != Open::Nothing) {
            navigate(
                paths::HOSTS,
                NavigateOptions {
                    replace: true,
                    scroll: false,
                    ..NavigateOptions::default()
                },
            );
        }
        is
    });
    let title = Signal::derive(move || match data.open.get() {
        Open::Nothing => String::new(),
        Open::Add => "Add host".into(),
        Open::Edit(id) => format!("Edit {}", name(data, id)),
        Open::Enrol(id) => format!("Enrol {}", name(data, id)),
        Open::Detail(id) => name(data, id),
        Open::Delete(id) => format!("Remove {}?", name(data, id)),
    });
    view! {
        <Dialog open=shown title=title testid="host-dialog" wide=true>
            {move || match data.open.get() {
                Open::Nothing => ().into_any(),
                Open::Add => view! { <form::HostForm data id=None/> }.into_any(),
                Open::Edit(id) => view! { <form::HostForm data id=Some(id)/> }.into_any(),
                Open::Enrol(id) => view! { <enrol::Enrol data id/> }.into_any(),
                Open::Detail(id) => view! { <detail::Detail data id/> }.into_any(),
                Open::Delete(id) => view! { <detail::Delete data id/> }.into_any(),
            }}
        </Dialog>
    }
    .into_any()
}

fn name(data: Data, id: HostId) -> String {
    data.host(id)
        .map_or_else(|| format!("host {id}"), |h| h.name)
}

fn list(hosts: Vec<Host>, data: Data) -> AnyView {
    let app = app();
    if hosts.is_empty() {
        return view! {
            <Empty icon=Icon::Host title="No hosts yet">
                <p>"Add the machines that will become the cluster: three servers, and one for the load balancer if you have it."</p>
                {move || app.may(Permission::Operate).then(|| view! {
                    <Button look=Look::Primary icon=Icon::Plus on_click=move |_| data.open.set(Open::Add)>"Add the first host"</Button>
                }.into_any())}
            </Empty>
        }
        .into_any();
    }
    let rows = hosts.into_iter().map(|host| row(host, data)).collect_view();
    view! {
        <Panel title="Inventory" flush=true>
            <div class="table-wrap" tabindex="0" role="group" aria-label="Table">
                <table class="table table-rows">
                    <thead>
                        <tr>
                            <th scope="col">"Host"</th>
                            <th scope="col">"SSH"</th>
                            <th scope="col">"Node address"</th>
                            <th scope="col">"Connection"</th>
                            <th scope="col">"Cluster"</th>
                            <th scope="col"><span class="visually-hidden">"Open"</span></th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </Panel>
    }
    .into_any()
}

fn row(host: Host, data: Data) -> AnyView {
    let app = app();
    let id = host.id;
    let look = test_look(&host);
    let enrolment = match host.enrolment {
        Enrolment::Unconfirmed => "unconfirmed",
        Enrolment::Pinned { .. } => "pinned",
    };
    let test = match &host.last_test {
        None => "none",
        Some(test) if test.passed() => "passed",
        Some(_) => "failed",
    };
    let cluster = host.cluster.map(|id| {
        app.cluster_name(id)
            .unwrap_or_else(|| format!("cluster {id}"))
    });
    let unconfirmed = enrolment == "unconfirmed";
    let unclean = host.unclean.is_some();
    view! {
        <tr data-testid=format!("host-row-{}", host.name) data-enrolment=enrolment data-test=test>
            <td>
                <button class="row-link" type="button" data-row="" data-testid=format!("host-open-{}", host.name)
                    on:click=move |_| data.open.set(if unconfirmed && app.may(Permission::Operate) { Open::Enrol(id) } else { Open::Detail(id) })>
                    {host.name.clone()}
                </button>
                {unclean.then(|| view! {
                    <span class="with-icon toned tone-warn small" data-testid=format!("host-unclean-{}", host.name)><Glyph icon=Icon::Warn/>"Clean before reuse"</span>
                }.into_any())}
            </td>
            <td class="mono">{format!("{}@{}:{}", host.ssh_user, host.ssh_address, host.ssh_port)}</td>
            <td class="mono">{host.node_address.clone()}</td>
            <td><span class=format!("with-icon toned tone-{}", look.1.class())><Glyph icon=look.2/>{look.0}</span></td>
            <td>{match cluster {
                Some(name) => view! { <Tag text=name/> }.into_any(),
                None => view! { <span class="quiet">"none"</span> }.into_any(),
            }}</td>
            <td class="row-end"><Glyph icon=Icon::ChevronRight/></td>
        </tr>
    }
    .into_any()
}

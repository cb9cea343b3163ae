//! Enrolment: the host's fingerprint, compared by a person, then the connection test.

use coxswain_wire::{ConfirmHostKeys, ConnectionTest, Host, HostId, HostKey};
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::credential::public_key;
use super::{Data, Open};
use crate::components::button::{Button, Look};
use crate::components::code::{Code, CopyButton};
use crate::components::form::{Form, FormFailure};
use crate::components::icon::{Glyph, Icon};
use crate::load::{load, problem};
use crate::state::app;
use crate::words;

/// Where enrolment stands.
#[derive(Clone, Debug, PartialEq)]
enum At {
    Keys,
    /// Being tested, or tested.
    Test(Option<ConnectionTest>),
}

/// Steps through fingerprints and test.
#[component]
pub(super) fn Enrol(data: Data, id: HostId) -> impl IntoView {
    let at = RwSignal::new(At::Keys);
    let stage = Memo::new(move |_| matches!(at.get(), At::Test(_)));
    view! {
        <ol class="stepper" aria-label="Enrolment">
            <li class="stepper-done">"Added"</li>
            <li class:stepper-now=move || !stage.get() class:stepper-done=move || stage.get()>"Fingerprint"</li>
            <li class:stepper-now=move || stage.get()>"Connection"</li>
        </ol>
        {move || if stage.get() {
            let test = Signal::derive(move || match at.get() {
                At::Test(test) => test,
                At::Keys => None,
            });
            view! { <TestView data id test on_again=move || run_test(data, id, at)/> }.into_any()
        } else {
            view! { <Keys data id at/> }.into_any()
        }}
    }.into_any()
}

fn run_test(data: Data, id: HostId, at: RwSignal<At>) {
    let app = data.app;
    at.set(At::Test(None));
    let api = app.api();
    spawn_local(async move {
        match api.test_host(id).await {
            Ok(test) => {
                data.hosts.update(|hosts| {
                    if let Some(host) = hosts.iter_mut().find(|h| h.id == id) {
                        host.last_test = Some(test.clone());
                    }
                });
                at.try_set(At::Test(Some(test)));
            }
            Err(failure) => {
                app.toast_bad(failure.message);
                at.try_set(At::Test(Some(ConnectionTest {
                    at: coxswain_wire::Timestamp(0),
                    checks: Vec::new(),
                })));
            }
        }
    });
}

#[component]
fn Keys(data: Data, id: HostId, at: RwSignal<At>) -> impl IntoView {
    let app = app();
    let scan = load(move || {
        let api = app.api();
        async move { api.scan_host(id).await }
    });
    let form = Form::new();
    let shown = move |keys: Vec<HostKey>| {
        if keys.is_empty() {
            let failure = crate::api::Failure {
                status: 0,
                code: "no_keys".into(),
                message: "The host showed no key. Check that sshd runs there.".into(),
                field: None,
                request_id: None,
            };
            return problem(failure, move || scan.reload());
        }
        let fingerprints: Vec<_> = keys.iter().map(|k| k.fingerprint.clone()).collect();
        let confirm = move |_| {
            let api = app.api();
            let body = ConfirmHostKeys {
                fingerprints: fingerprints.clone(),
            };
            form.submit(
                async move { api.confirm_host(id, &body).await },
                move |host: Host| {
                    data.put(host);
                    run_test(data, id, at);
                },
            );
        };
        let command = check_command(&keys);
        view! {
            <p>"This is the key the host shows to the panel. If it is not the host's own, somebody stands in between."</p>
            <div class="fingerprints" data-testid="host-fingerprint">
                {keys.iter().map(fingerprint).collect_view()}
            </div>
            <p>"Compare it on the host's own console, not over the same network:"</p>
            <Code text=command label="Copy the command"/>
            <FormFailure form/>
            <div class="dialog-actions">
                <Button icon=Icon::Retry testid="host-scan" on_click=move |_| scan.reload()>"Scan again"</Button>
                <Button look=Look::Primary busy=form.busy testid="host-scan-confirm" on_click=confirm>"They match, pin them"</Button>
            </div>
        }
        .into_any()
    };
    scan.view(shown)
}

/// Prints the same fingerprints on the host.
fn check_command(keys: &[HostKey]) -> String {
    let file = |algorithm: &str| {
        let kind = if algorithm.contains("ed25519") {
            "ed25519"
        } else if algorithm.contains("ecdsa") {
            "ecdsa"
        } else {
            "rsa"
        };
        format!("ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub")
    };
    keys.iter()
        .map(|k| file(&k.algorithm))
        .collect::<Vec<_>>()
        .join("\n")
}

fn fingerprint(key: &HostKey) -> AnyView {
    view! {
        <div class="fingerprint">
            <span class="fingerprint-kind">{key.algorithm.clone()}</span>
            <span class="fingerprint-text mono">{key.fingerprint.clone()}</span>
            <CopyButton text=key.fingerprint.clone() label="Copy the fingerprint"/>
        </div>
    }
    .into_any()
}

/// The five checks; those after the first failure were not tried.
pub(super) fn checks(test: Option<&ConnectionTest>) -> AnyView {
    let rows = words::CONNECTION_STAGES.into_iter().enumerate().map(|(n, stage)| {
        let (key, title, what) = words::connection_stage(stage);
        let check = test.and_then(|t| t.checks.iter().find(|c| c.stage == stage).cloned());
        let (state, icon) = match (&check, test) {
            (Some(c), _) if c.ok => ("ok", Icon::Check),
            (Some(_), _) => ("failed", Icon::Cross),
            (None, None) if n == 0 => ("open", Icon::Spinner),
            (None, _) => ("open", Icon::Circle),
        };
        let detail = check.as_ref().map_or_else(|| what.to_owned(), |c| c.detail.clone());
        let advice = check.and_then(|c| c.advice);
        view! {
            <li class=format!("check check-{state}") data-testid=format!("host-check-{key}") data-state=state>
                <span class="check-icon"><Glyph icon/></span>
                <span class="check-text">
                    <span class="check-title">{title}</span>
                    <span class="check-detail">{detail}</span>
                    {advice.map(|advice| view! { <span class="check-advice">{advice}</span> }.into_any())}
                </span>
            </li>
        }.into_any()
    });
    view! { <div role="status"><ol class="checks">{rows.collect_view()}</ol></div> }.into_any()
}

#[component]
fn TestView(
    data: Data,
    id: HostId,
    test: Signal<Option<ConnectionTest>>,
    on_again: impl Fn() + Copy + Send + Sync + 'static,
) -> impl IntoView {
    let passed = move || {
        test.get()
            .is_some_and(|t| !t.checks.is_empty() && t.passed())
    };
    // The usual reason at first: the key is not on the host yet.
    let key = move || {
        let refused = test.get().is_some_and(|t| {
            t.checks
                .iter()
                .any(|c| !c.ok && c.stage == coxswain_wire::ConnectionStage::Authenticate)
        });
        let host = untrack(|| data.host(id))?;
        let credential = untrack(|| data.credentials.value())?
            .into_iter()
            .find(|c| c.id == host.credential)?;
        refused.then(|| public_key(&credential, &host.ssh_user, "credential"))
    };
    view! {
        {move || checks(test.get().as_ref())}
        {key}
        <div class="dialog-actions">
            {move || (!passed()).then(|| view! {
                <Button icon=Icon::Edit on_click=move |_| data.open.set(Open::Edit(id))>"Edit host"</Button>
                <Button look=Look::Primary icon=Icon::Retry testid="host-test" busy=Signal::derive(move || test.get().is_none())
                    on_click=move |_| on_again()>"Test again"</Button>
            }.into_any())}
            {move || passed().then(|| view! {
                <Button icon=Icon::Plus on_click=move |_| data.open.set(Open::Add)>"Add another host"</Button>
                <Button look=Look::Primary testid="host-done" on_click=move |_| data.open.set(Open::Nothing)>"Done"</Button>
            }.into_any())}
        </div>
    }.into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_key_has_its_file() {
        let key = |algorithm: &str| HostKey {
            algorithm: algorithm.into(),
            fingerprint: String::new(),
        };
        let command = check_command(&[
            key("ssh-ed25519"),
            key("ecdsa-sha2-nistp256"),
            key("ssh-rsa"),
        ]);
        assert_eq!(command.lines().count(), 3);
        assert!(command.starts_with("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\n"));
    }
}

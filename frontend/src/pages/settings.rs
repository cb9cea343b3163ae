//! Settings: appearance, users (for admins), and what this panel is.

use coxswain_wire::{NewUser, Permission, Role, User, UserChange, UserId};
use leptos::ev::SubmitEvent;
use leptos::prelude::*;

use super::setup::MIN_PASSWORD;
use crate::components::badge::Tag;
use crate::components::button::{Button, IconButton, Look};
use crate::components::dialog::Dialog;
use crate::components::field::{Segments, SelectField, Switch, TextField};
use crate::components::form::{Form, FormFailure};
use crate::components::icon::{Icon, Mark};
use crate::components::panel::{PageHead, Panel};
use crate::components::theme;
use crate::components::time::Ago;
use crate::components::when::when;
use crate::load::{Loaded, load};
use crate::state::app;
use crate::{storage, words};

/// The settings page.
#[component]
pub(crate) fn Settings() -> impl IntoView {
    let app = app();
    app.at(vec![("Settings".into(), None)]);
    view! {
        <PageHead title="Settings"/>
        <div class="settings">
            <Appearance/>
            {when(move || app.may(Permission::Administer), move || view! { <Users/> }.into_any())}
            <Panel title="About">
                <div class="about">
                    <Mark/>
                    <div>
                        <p class="strong">{move || format!("Coxswain {}", app.version.get())}</p>
                        <p class="quiet">"Control panel for k3s high-availability clusters. Apache-2.0."</p>
                    </div>
                </div>
            </Panel>
        </div>
    }.into_any()
}

#[component]
fn Appearance() -> impl IntoView {
    let app = app();
    let theme = RwSignal::new(storage::get(storage::THEME).unwrap_or_else(|| "system".into()));
    Effect::new(move |first: Option<()>| {
        let theme = theme.get();
        if first.is_some() {
            theme::choose((theme != "system").then_some(theme.as_str()));
        }
    });
    Effect::new(move |_| {
        storage::set(storage::KEYS, (!app.single_keys.get()).then_some("off"));
    });
    view! {
        <Panel title="This browser">
            <div class="setting">
                <div><p class="field-label">"Theme"</p><p class="field-note">"Kept in this browser."</p></div>
                <Segments label="Theme" name="theme" value=theme
                    entries=vec![("system", "System"), ("light", "Light"), ("dark", "Dark")]/>
            </div>
            <Switch name="single-keys" label="Single-key shortcuts" value=app.single_keys
                help="g c, j, k, / and the like. Ctrl K always works."/>
        </Panel>
    }.into_any()
}

#[component]
fn Users() -> impl IntoView {
    let app = app();
    let users = load(move || {
        let api = app.api();
        async move { api.users().await }
    });
    let adding = RwSignal::new(false);
    let going = RwSignal::new(None::<(UserId, String)>);
    view! {
        <Panel title="Users" flush=true>
            {users.view(move |list| view! {
                <ul class="user-list">{list.into_iter().map(|user| row(user, users, going)).collect_view()}</ul>
            }.into_any())}
            <div class="panel-foot">
                <Button icon=Icon::Plus testid="user-add" on_click=move |_| adding.set(true)>"Add user"</Button>
            </div>
        </Panel>
        <Dialog open=adding title="Add user" testid="user-dialog"><AddUser users open=adding/></Dialog>
        <DeleteUser users going/>
    }.into_any()
}

fn row(user: User, users: Loaded<Vec<User>>, going: RwSignal<Option<(UserId, String)>>) -> AnyView {
    let app = app();
    let me = app
        .session
        .with(|s| s.as_ref().is_some_and(|s| s.user == user.id));
    let (id, name) = (user.id, user.name.clone());
    view! {
        <li class="user-row" data-testid=format!("user-row-{}", user.name)>
            <span class="avatar" aria-hidden="true">{user.name.chars().next().map(|c| c.to_uppercase().to_string())}</span>
            <span class="stack">
                <span class="strong">{user.name.clone()}{me.then_some(" (you)")}</span>
                <span class="quiet">"since "<Ago at=Signal::stored(user.created_at)/></span>
            </span>
            <Tag text=words::role(user.role)/>
            {user.role.takes_kubeconfig().then(|| grant(&user, users))}
            <span class="user-end">
                {(!me).then(|| view! {
                    <IconButton icon=Icon::Trash label=format!("Delete {}", user.name) testid=format!("user-delete-{}", user.name)
                        on_click=move |_| going.set(Some((id, name.clone())))/>
                }.into_any())}
            </span>
        </li>
    }
    .into_any()
}

/// Whether the user may download kubeconfigs, to be switched.
fn grant(user: &User, users: Loaded<Vec<User>>) -> AnyView {
    let app = app();
    let id = user.id;
    let granted = user.kubeconfig;
    let switch = move |_| {
        let api = app.api();
        let change = UserChange {
            kubeconfig: !granted,
        };
        leptos::task::spawn_local(async move {
            match api.change_user(id, &change).await {
                Ok(changed) => users.update(|all| {
                    for user in all.iter_mut().filter(|u| u.id == id) {
                        *user = changed.clone();
                    }
                }),
                Err(failure) => app.toast_bad(failure.message),
            }
        });
    };
    let label = if granted {
        format!("{} may download kubeconfigs; take that back", user.name)
    } else {
        format!(
            "Let {} download kubeconfigs: full admin of every cluster",
            user.name
        )
    };
    view! {
        <IconButton icon=Icon::Key label=label pressed=Signal::stored(granted)
            testid=format!("user-kubeconfig-{}", user.name) on_click=switch/>
    }
    .into_any()
}

#[component]
fn AddUser(users: Loaded<Vec<User>>, open: RwSignal<bool>) -> impl IntoView {
    let app = app();
    let form = Form::new();
    let name = RwSignal::new(String::new());
    let password = RwSignal::new(String::new());
    let role = RwSignal::new("operator".to_owned());
    let key = |role: Role| words::role(role).to_lowercase();
    let entries = Role::ALL
        .map(|r| {
            (
                key(r),
                format!("{}: {}", words::role(r), words::role_help(r)),
                true,
            )
        })
        .to_vec();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if password.with_untracked(|p| p.chars().count()) < MIN_PASSWORD {
            form.refuse("password", &format!("At least {MIN_PASSWORD} characters."));
            return;
        }
        let Some(role) = Role::ALL
            .into_iter()
            .find(|r| key(*r) == role.get_untracked())
        else {
            return;
        };
        let body = NewUser {
            name: name.get_untracked(),
            password: password.get_untracked(),
            role,
        };
        let api = app.api();
        form.submit(async move { api.add_user(&body).await }, move |user| {
            users.update(|all| all.push(user));
            open.set(false);
        });
    };
    view! {
        <form class="form" novalidate on:submit=submit>
            <TextField form name="name" label="Name" value=name autofocus=true help="Letters, digits, . - _"/>
            <TextField form name="password" label="First password" value=password kind="password" autocomplete="new-password"
                help="At least 12 characters."/>
            <SelectField form name="role" label="Role" value=role entries=Signal::stored(entries)/>
            <FormFailure form/>
            <div class="dialog-actions">
                <Button on_click=move |_| open.set(false)>"Cancel"</Button>
                <Button look=Look::Primary submit=true busy=form.busy testid="user-save">"Add user"</Button>
            </div>
        </form>
    }.into_any()
}

#[component]
fn DeleteUser(
    users: Loaded<Vec<User>>,
    going: RwSignal<Option<(UserId, String)>>,
) -> impl IntoView {
    let app = app();
    let open = RwSignal::new(false);
    let form = Form::new();
    Effect::new(move |_| open.set(going.with(Option::is_some)));
    Effect::new(move |_| {
        if !open.get() && going.with_untracked(Option::is_some) {
            going.set(None);
        }
    });
    let remove = move |_| {
        let Some((id, _)) = going.get_untracked() else {
            return;
        };
        let api = app.api();
        form.submit(async move { api.delete_user(id).await }, move |()| {
            users.update(|all| all.retain(|u| u.id != id));
            going.set(None);
        });
    };
    view! {
        <Dialog open title="Delete this user?">
            <p>
                <strong>{move || going.get().map(|(_, name)| name)}</strong>
                " can no longer sign in, and open sessions end. Runs and audit entries keep the name."
            </p>
            <FormFailure form/>
            <div class="dialog-actions">
                <Button on_click=move |_| open.set(false)>"Cancel"</Button>
                <Button look=Look::Danger busy=form.busy testid="dialog-confirm" on_click=remove>"Delete"</Button>
            </div>
        </Dialog>
    }.into_any()
}

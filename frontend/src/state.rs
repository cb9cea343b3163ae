//! What the whole page shares: who is signed in, what the stream last said, and the small things on
//! top of every page. One value, handed down as context; there is no other shared state.

use coxswain_wire::{
    Boot, Cluster, ClusterId, Overview, Permission, RunStatus, RunSummary, Session,
};
use leptos::prelude::*;

use crate::api::Api;
use crate::live::Link;
use crate::{browser, storage};

/// A short message in the corner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toast {
    pub(crate) id: u32,
    pub(crate) text: String,
    pub(crate) bad: bool,
}

/// One part of the breadcrumb: text, and a path if it leads somewhere.
pub(crate) type Crumb = (String, Option<String>);

/// The page's state.
#[derive(Clone, Copy)]
pub(crate) struct App {
    /// Version of the panel.
    pub(crate) version: RwSignal<String>,
    /// True until the first user exists.
    pub(crate) setup_needed: RwSignal<bool>,
    /// Who is signed in.
    pub(crate) session: RwSignal<Option<Session>>,
    /// Latest snapshot of the stream; none before the first one.
    pub(crate) overview: RwSignal<Option<Overview>>,
    /// How the stream is doing.
    pub(crate) link: RwSignal<Link>,
    /// The browser's clock, Unix milliseconds, once a second.
    pub(crate) now: RwSignal<i64>,
    pub(crate) toasts: RwSignal<Vec<Toast>>,
    pub(crate) palette_open: RwSignal<bool>,
    pub(crate) keys_open: RwSignal<bool>,
    /// Single-key shortcuts may be switched off (WCAG 2.1.4).
    pub(crate) single_keys: RwSignal<bool>,
    pub(crate) crumbs: RwSignal<Vec<Crumb>>,
    next_toast: RwSignal<u32>,
}

/// Milliseconds a toast stays.
const TOAST_MS: u64 = 6_000;

impl App {
    pub(crate) fn new() -> Self {
        Self {
            version: RwSignal::new(String::new()),
            setup_needed: RwSignal::new(false),
            session: RwSignal::new(None),
            overview: RwSignal::new(None),
            link: RwSignal::new(Link::Connecting),
            now: RwSignal::new(browser::now()),
            toasts: RwSignal::new(Vec::new()),
            palette_open: RwSignal::new(false),
            keys_open: RwSignal::new(false),
            single_keys: RwSignal::new(storage::get(storage::KEYS).as_deref() != Some("off")),
            crumbs: RwSignal::new(Vec::new()),
            next_toast: RwSignal::new(0),
        }
    }

    /// Takes over what the panel said at the start.
    pub(crate) fn booted(&self, boot: Boot) {
        self.version.set(boot.version);
        self.setup_needed.set(boot.setup_needed);
        self.session.set(boot.session);
    }

    /// Calls in the name of the signed-in user.
    pub(crate) fn api(&self) -> Api {
        Api::new(self.session)
    }

    /// Whether the signed-in user may.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.session
            .with(|s| s.as_ref().is_some_and(|s| s.may(permission)))
    }

    /// Sign-in name, empty if nobody is signed in.
    pub(crate) fn user_name(&self) -> String {
        self.session
            .with(|s| s.as_ref().map(|s| s.name.clone()).unwrap_or_default())
    }

    /// Where the page stands, for the breadcrumb and the window's title.
    pub(crate) fn at(&self, crumbs: Vec<Crumb>) {
        let title = crumbs
            .iter()
            .rev()
            .map(|(text, _)| text.as_str())
            .collect::<Vec<_>>()
            .join(" · ");
        browser::set_title(&format!("{title} · Coxswain"));
        self.crumbs.set(crumbs);
    }

    pub(crate) fn toast(&self, text: impl Into<String>) {
        self.add_toast(text.into(), false);
    }

    pub(crate) fn toast_bad(&self, text: impl Into<String>) {
        self.add_toast(text.into(), true);
    }

    fn add_toast(&self, text: String, bad: bool) {
        let id = self.next_toast.get_untracked();
        self.next_toast.set(id + 1);
        self.toasts.update(|toasts| {
            toasts.push(Toast { id, text, bad });
            // Bounded: nobody reads more than four.
            if toasts.len() > 4 {
                toasts.remove(0);
            }
        });
        let toasts = self.toasts;
        set_timeout(
            move || {
                toasts.try_update(|toasts| toasts.retain(|t| t.id != id));
            },
            std::time::Duration::from_millis(TOAST_MS),
        );
    }

    /// All clusters the stream knows.
    pub(crate) fn clusters(&self) -> Vec<Cluster> {
        self.overview
            .with(|o| o.as_ref().map(|o| o.clusters.clone()).unwrap_or_default())
    }

    /// Latest runs the stream knows.
    pub(crate) fn runs(&self) -> Vec<RunSummary> {
        self.overview
            .with(|o| o.as_ref().map(|o| o.runs.clone()).unwrap_or_default())
    }

    /// Runs that wait for people.
    pub(crate) fn waiting(&self) -> usize {
        self.overview.with(|o| {
            o.as_ref().map_or(0, |o| {
                o.runs
                    .iter()
                    .filter(|r| r.status == RunStatus::Waiting)
                    .count()
            })
        })
    }

    /// Name of a cluster, if the stream knows it.
    pub(crate) fn cluster_name(&self, id: ClusterId) -> Option<String> {
        self.overview.with(|o| {
            o.as_ref()?
                .clusters
                .iter()
                .find(|c| c.id == id)
                .map(|c| c.name.clone())
        })
    }
}

/// The page's state; every component below the root may ask for it.
pub(crate) fn app() -> App {
    expect_context::<App>()
}

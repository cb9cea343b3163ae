//! A panel for one test.

mod client;
mod machines;
mod note;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use coxswain::app::{App, Scans, unobserved};
use coxswain::audit::Who;
use coxswain::auth::{Auth, Passwords, Throttle};
use coxswain::config::{Config, Options};
use coxswain::http;
use coxswain::store::{Db, RunStore};
use coxswain::time::now;
use coxswain::vault::{Known, Vault, VaultError};
use coxswain::wiring::Workflows;
use coxswain_engine::engine::{Engine, Timing};
use coxswain_engine::step::{Registry, StepKind};
use coxswain_wire::{Credential, Host, PlanView, Role, RunId, RunStatus, RunSummary, RunView};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use zeroize::Zeroizing;

pub(crate) use client::{Client, Reply};
pub(crate) use machines::Machines;
pub(crate) use note::{Always, HOLD, Note, Planned};

/// A password that is long enough.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The panel without a network.
pub(crate) struct Panel {
    pub(crate) app: Arc<App>,
    pub(crate) router: Router,
    pub(crate) machines: Arc<Machines>,
    pub(crate) stop: watch::Sender<bool>,
    /// Sign-ins are throttled; a test needs many callers and few sign-ins.
    sessions: Mutex<HashMap<Role, Client>>,
    folder: TempDir,
}

impl Panel {
    /// A panel at its very first start.
    pub(crate) async fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap()).await.unwrap()
    }

    /// A panel over a folder that an earlier one has left.
    pub(crate) async fn in_folder(folder: TempDir) -> Result<Self, VaultError> {
        Self::told(folder, Options::default()).await
    }

    /// The same with more options.
    pub(crate) async fn told(folder: TempDir, options: Options) -> Result<Self, VaultError> {
        let options = Options {
            data_dir: folder.path().to_owned(),
            web_dir: Some(folder.path().join("web")),
            ..options
        };
        let config = Config::try_from(options).unwrap();
        let db = Db::open(&config.database()).await.unwrap();
        db.first_start(now()).await.unwrap();
        let known = Arc::new(Known::default());
        let vault = Arc::new(Vault::open(db.clone(), &config.vault_key, known.clone()).await?);
        let runs = Arc::new(RunStore::new(db.clone(), known));
        let kinds = Registry::new([Arc::new(Note::default()) as Arc<dyn StepKind>]);
        let timing = Timing {
            poll: std::time::Duration::from_millis(5),
            ..Timing::default()
        };
        let engine = Engine::new(runs.clone(), kinds, Arc::new(Always), now, timing);
        let machines = Arc::new(Machines::default());
        let (stop, stopping) = watch::channel(false);
        let passwords = Passwords::quick_for_tests().unwrap();
        let app = Arc::new(App {
            auth: Auth::new(db.clone(), passwords, Throttle::default()),
            planner: Arc::new(Planned(Workflows::new(db.clone(), unobserved()))),
            observed: unobserved(),
            scans: Scans::default(),
            streams: Arc::default(),
            downloads: App::download_limit(),
            world: machines.clone(),
            config,
            db,
            vault,
            runs,
            engine,
            stopping,
        });
        let router = http::router(app.clone());
        let sessions = Mutex::new(HashMap::new());
        Ok(Self {
            app,
            router,
            machines,
            stop,
            sessions,
            folder,
        })
    }

    /// Stops the panel and gives its folder to the next one.
    pub(crate) async fn stopped(self) -> TempDir {
        self.stop.send_replace(true);
        self.app.db.close().await;
        self.folder
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.app.config.database()
    }

    /// A caller without a session.
    pub(crate) fn nobody(&self) -> Client {
        Client::new(self.router.clone())
    }

    /// A signed-in caller with this role; their name is the role's. The same session each time.
    pub(crate) async fn role(&self, role: Role) -> Client {
        let known = self.sessions.lock().unwrap().get(&role).cloned();
        if let Some(client) = known {
            return client;
        }
        let client = self.fresh(role).await;
        self.sessions.lock().unwrap().insert(role, client.clone());
        client
    }

    /// The same caller with a session of their own.
    pub(crate) async fn fresh(&self, role: Role) -> Client {
        let name = format!("{role:?}").to_lowercase();
        let password = || Zeroizing::new(PASSWORD.to_owned());
        let who = Who::engine();
        if self.app.db.user_by_name(&name).await.unwrap().is_none() {
            self.app
                .auth
                .create_user(&who, &name, password(), role)
                .await
                .unwrap();
        }
        let address = "127.0.0.1".parse().unwrap();
        let (session, token) = self
            .app
            .auth
            .sign_in(&name, password(), address)
            .await
            .unwrap();
        self.nobody().with_session(token.expose(), &session.csrf)
    }

    pub(crate) async fn admin(&self) -> Client {
        self.role(Role::Admin).await
    }
}

/// Starts a run that prints `text`, and waits until its gate is open.
pub(crate) async fn waiting_run(panel: &Panel, text: &str) -> RunId {
    waiting_run_with(panel, json!({ "text": text })).await
}

/// The same with these inputs.
pub(crate) async fn waiting_run_with(panel: &Panel, inputs: Value) -> RunId {
    let operator = panel.role(Role::Operator).await;
    let plan: PlanView = operator
        .post("/plans", json!({ "workflow": "note", "inputs": inputs }))
        .await
        .is(200);
    let body = json!({ "workflow": "note", "inputs": inputs, "plan_sha256": plan.sha256 });
    let run: RunSummary = operator.post("/runs", body).await.is(201);
    reaches(panel, run.id, RunStatus::Waiting).await;
    run.id
}

/// Waits until a run stands somewhere.
pub(crate) async fn reaches(panel: &Panel, run: RunId, status: RunStatus) -> RunView {
    until(panel, run, |view| view.summary.status == status).await
}

/// Waits until a run is as wanted.
pub(crate) async fn until(panel: &Panel, run: RunId, wanted: impl Fn(&RunView) -> bool) -> RunView {
    let mut changed = panel.app.engine.changed();
    let wait = async {
        loop {
            let view = panel.app.engine.view(run).await.unwrap();
            if wanted(&view) {
                return view;
            }
            changed.recv().await.unwrap();
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("run {run} did not get there"))
}

/// Approves a waiting run as another person.
pub(crate) async fn approve(panel: &Panel, run: RunId) -> RunView {
    let view = panel.app.engine.view(run).await.unwrap();
    let evidence = view.stages[0].evidence.as_ref().unwrap().sha256.clone();
    let body = json!({
        "command": "approve",
        "plan_sha256": view.plan.sha256,
        "evidence_sha256": evidence,
        "comment": "looks good",
    });
    let approver = panel.role(Role::Approver).await;
    approver
        .post(&format!("/runs/{run}/commands"), body)
        .await
        .is(200)
}

/// A credential of this name.
pub(crate) async fn credential(panel: &Panel, name: &str) -> Credential {
    let operator = panel.role(Role::Operator).await;
    operator
        .post("/credentials", json!({ "name": name }))
        .await
        .is(201)
}

/// A host `node<n>` at 10.0.0.n.
pub(crate) async fn host(panel: &Panel, n: u8) -> Host {
    let operator = panel.role(Role::Operator).await;
    let all: Vec<Credential> = operator.get("/credentials").await.is(200);
    let key = match all.into_iter().next() {
        Some(key) => key,
        None => credential(panel, "key").await,
    };
    operator.post("/hosts", new_host(n, &key)).await.is(201)
}

/// The request for it.
pub(crate) fn new_host(n: u8, key: &Credential) -> Value {
    json!({
        "name": format!("node{n}"),
        "ssh_address": format!("10.0.0.{n}"),
        "ssh_user": "ops",
        "credential": key.id,
    })
}

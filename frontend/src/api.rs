//! The only HTTP code of the page. Every call has a deadline and ends in a value or a [`Failure`].
//!
//! Calls that need a session are methods of [`Api`], which only a signed-in [`crate::state::App`]
//! hands out; the three that do not are free functions.

use std::fmt;

use coxswain_wire::{
    ApiError, AuditPage, Boot, CSRF_HEADER, Cluster, ClusterId, ConfirmHostKeys, ConnectionTest,
    Credential, CredentialId, Host, HostId, HostKey, KubeconfigRequest, NewCluster, NewCredential,
    NewHost, NewRun, NewUser, OutputTail, PlanView, Report, RunCommand, RunId, RunSummary, RunView,
    Session, SetupRequest, SignInRequest, Snapshot, SnapshotId, StepIndex, UnwindView, User,
    UserChange, UserId, WorkflowInfo,
};
use gloo_net::http::{Method, RequestBuilder};
use leptos::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

const BASE: &str = "/api/v1";
/// Milliseconds for a call that only touches the panel's own store.
const QUICK: u32 = 20_000;
/// Milliseconds for a call during which the panel talks to machines.
const SLOW: u32 = 120_000;

/// Why a call brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// HTTP status; 0 if no answer came.
    pub(crate) status: u16,
    /// Stable machine word; `offline` if no answer came, `unreadable` if it could not be read.
    pub(crate) code: String,
    /// For a person.
    pub(crate) message: String,
    /// Path of the wrong field.
    pub(crate) field: Option<String>,
    /// Found again in the panel's log.
    pub(crate) request_id: Option<String>,
}

impl Failure {
    fn offline(detail: &str) -> Self {
        Self {
            status: 0,
            code: "offline".into(),
            message: format!(
                "The panel did not answer ({detail}). Check that it is running, then try again."
            ),
            field: None,
            request_id: None,
        }
    }

    fn unreadable(status: u16) -> Self {
        Self {
            status,
            code: "unreadable".into(),
            message: format!(
                "The panel gave an answer this page cannot read (status {status}). Reload the page."
            ),
            field: None,
            request_id: None,
        }
    }

    /// True if the wrong field is `name`, an element of it, or the input of that name.
    pub(crate) fn concerns(&self, name: &str) -> bool {
        let Some(field) = &self.field else {
            return false;
        };
        let field = field.strip_prefix("inputs.").unwrap_or(field);
        field
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What a call brings.
pub(crate) type Answer<T> = Result<T, Failure>;

struct Call<'a> {
    method: Method,
    path: &'a str,
    csrf: &'a str,
    body: Option<String>,
    timeout_ms: u32,
}

/// Not generic, so that it is compiled once.
async fn send(call: Call<'_>) -> Answer<String> {
    let deadline = web_sys::AbortSignal::timeout_with_u32(call.timeout_ms);
    let builder = RequestBuilder::new(&format!("{BASE}{}", call.path))
        .method(call.method.clone())
        .header("accept", "application/json")
        .abort_signal(Some(&deadline));
    let builder = if call.method == Method::GET {
        builder
    } else {
        builder.header(CSRF_HEADER, call.csrf)
    };
    let request = match call.body {
        Some(body) => builder
            .header("content-type", "application/json")
            .body(body),
        None => builder.build(),
    }
    .map_err(|e| Failure::offline(&e.to_string()))?;
    let response = request
        .send()
        .await
        .map_err(|e| Failure::offline(&e.to_string()))?;
    let status = response.status();
    let text = response
        .text()
        .await
        .map_err(|e| Failure::offline(&e.to_string()))?;
    if response.ok() {
        return Ok(text);
    }
    Err(match serde_json::from_str::<ApiError>(&text) {
        Ok(error) => Failure {
            status,
            code: error.code,
            message: error.message,
            field: error.field,
            request_id: Some(error.request_id),
        },
        Err(_) => Failure::unreadable(status),
    })
}

fn decode<T: DeserializeOwned>(text: &str) -> Answer<T> {
    serde_json::from_str(text).map_err(|_| Failure::unreadable(200))
}

fn encode<T: Serialize>(body: &T) -> Answer<Option<String>> {
    serde_json::to_string(body)
        .map(Some)
        .map_err(|_| Failure::unreadable(0))
}

async fn before_session<B: Serialize, T: DeserializeOwned>(path: &str, body: &B) -> Answer<T> {
    // Any value will do: the header's presence proves that a script of this origin sent it.
    let call = Call {
        method: Method::POST,
        path,
        csrf: "1",
        body: encode(body)?,
        timeout_ms: QUICK,
    };
    decode(&send(call).await?)
}

/// What the page needs before anybody has signed in.
pub(crate) async fn boot() -> Answer<Boot> {
    let call = Call {
        method: Method::GET,
        path: "/boot",
        csrf: "",
        body: None,
        timeout_ms: QUICK,
    };
    decode(&send(call).await?)
}

/// Makes the first admin and signs in.
pub(crate) async fn setup(request: &SetupRequest) -> Answer<Session> {
    before_session("/setup", request).await
}

/// Signs in.
pub(crate) async fn sign_in(request: &SignInRequest) -> Answer<Session> {
    before_session("/session", request).await
}

/// Calls of a signed-in user.
#[derive(Clone)]
pub(crate) struct Api {
    csrf: String,
    /// Emptied when the panel says that the session is over.
    session: RwSignal<Option<Session>>,
}

impl Api {
    pub(crate) fn new(session: RwSignal<Option<Session>>) -> Self {
        let csrf =
            session.with_untracked(|s| s.as_ref().map(|s| s.csrf.clone()).unwrap_or_default());
        Self { csrf, session }
    }

    async fn call(
        &self,
        method: Method,
        path: String,
        body: Option<String>,
        timeout_ms: u32,
    ) -> Answer<String> {
        let answer = send(Call {
            method,
            path: &path,
            csrf: &self.csrf,
            body,
            timeout_ms,
        })
        .await;
        if answer.as_ref().is_err_and(|failure| failure.status == 401) {
            self.session.try_set(None);
        }
        answer
    }

    async fn get<T: DeserializeOwned>(&self, path: impl Into<String>) -> Answer<T> {
        decode(&self.call(Method::GET, path.into(), None, QUICK).await?)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: impl Into<String>,
        body: Option<String>,
        ms: u32,
    ) -> Answer<T> {
        decode(&self.call(Method::POST, path.into(), body, ms).await?)
    }

    async fn put<T: DeserializeOwned>(&self, path: String, body: Option<String>) -> Answer<T> {
        decode(&self.call(Method::PUT, path, body, QUICK).await?)
    }

    async fn delete(&self, path: String) -> Answer<()> {
        self.call(Method::DELETE, path, None, QUICK).await.map(drop)
    }

    pub(crate) async fn sign_out(&self) -> Answer<()> {
        self.delete("/session".into()).await
    }

    pub(crate) async fn hosts(&self) -> Answer<Vec<Host>> {
        self.get("/hosts").await
    }

    pub(crate) async fn add_host(&self, host: &NewHost) -> Answer<Host> {
        self.post("/hosts", encode(host)?, QUICK).await
    }

    pub(crate) async fn change_host(&self, id: HostId, host: &NewHost) -> Answer<Host> {
        self.put(format!("/hosts/{id}"), encode(host)?).await
    }

    pub(crate) async fn delete_host(&self, id: HostId) -> Answer<()> {
        self.delete(format!("/hosts/{id}")).await
    }

    pub(crate) async fn scan_host(&self, id: HostId) -> Answer<Vec<HostKey>> {
        self.post(format!("/hosts/{id}/scan"), None, SLOW).await
    }

    pub(crate) async fn confirm_host(&self, id: HostId, keys: &ConfirmHostKeys) -> Answer<Host> {
        self.post(format!("/hosts/{id}/confirm"), encode(keys)?, SLOW)
            .await
    }

    pub(crate) async fn test_host(&self, id: HostId) -> Answer<ConnectionTest> {
        self.post(format!("/hosts/{id}/test"), None, SLOW).await
    }

    pub(crate) async fn credentials(&self) -> Answer<Vec<Credential>> {
        self.get("/credentials").await
    }

    pub(crate) async fn add_credential(&self, credential: &NewCredential) -> Answer<Credential> {
        self.post("/credentials", encode(credential)?, QUICK).await
    }

    pub(crate) async fn delete_credential(&self, id: CredentialId) -> Answer<()> {
        self.delete(format!("/credentials/{id}")).await
    }

    pub(crate) async fn clusters(&self) -> Answer<Vec<Cluster>> {
        self.get("/clusters").await
    }

    pub(crate) async fn add_cluster(&self, cluster: &NewCluster) -> Answer<Cluster> {
        self.post("/clusters", encode(cluster)?, QUICK).await
    }

    pub(crate) async fn change_cluster(
        &self,
        id: ClusterId,
        cluster: &NewCluster,
    ) -> Answer<Cluster> {
        self.put(format!("/clusters/{id}"), encode(cluster)?).await
    }

    pub(crate) async fn delete_cluster(&self, id: ClusterId) -> Answer<()> {
        self.delete(format!("/clusters/{id}")).await
    }

    pub(crate) async fn snapshots(&self, id: ClusterId) -> Answer<Vec<Snapshot>> {
        self.get(format!("/clusters/{id}/snapshots")).await
    }

    /// The file's text. Secret.
    pub(crate) async fn kubeconfig(&self, request: &KubeconfigRequest) -> Answer<String> {
        self.call(Method::POST, "/kubeconfigs".into(), encode(request)?, QUICK)
            .await
    }

    pub(crate) async fn workflows(&self) -> Answer<Vec<WorkflowInfo>> {
        self.get("/workflows").await
    }

    pub(crate) async fn plan(&self, run: &NewRun) -> Answer<PlanView> {
        self.post("/plans", encode(run)?, SLOW).await
    }

    pub(crate) async fn start_run(&self, run: &NewRun) -> Answer<RunSummary> {
        self.post("/runs", encode(run)?, SLOW).await
    }

    pub(crate) async fn runs(&self) -> Answer<Vec<RunSummary>> {
        self.get("/runs").await
    }

    pub(crate) async fn run(&self, id: RunId) -> Answer<RunView> {
        self.get(format!("/runs/{id}")).await
    }

    /// The report of a drill that came to rest before it made one.
    pub(crate) async fn report_page(&self, id: RunId) -> Answer<Report> {
        self.get(format!("/runs/{id}/report/page")).await
    }

    /// A part of a run's output: the last one, or one that reaches back to a step's or a line of it.
    pub(crate) async fn tail(
        &self,
        id: RunId,
        step: Option<StepIndex>,
        line: Option<u32>,
    ) -> Answer<OutputTail> {
        let query = match (step, line) {
            (Some(step), Some(line)) => format!("?step={step}&line={line}"),
            (Some(step), None) => format!("?step={step}"),
            (None, _) => String::new(),
        };
        self.get(format!("/runs/{id}/tail{query}")).await
    }

    /// The part of a run's output before a chunk.
    pub(crate) async fn tail_before(&self, id: RunId, chunk: u64) -> Answer<OutputTail> {
        self.get(format!("/runs/{id}/tail?before={chunk}")).await
    }

    pub(crate) async fn unwind_plan(&self, id: RunId) -> Answer<UnwindView> {
        self.get(format!("/runs/{id}/unwind")).await
    }

    pub(crate) async fn command(&self, id: RunId, command: &RunCommand) -> Answer<RunView> {
        self.post(format!("/runs/{id}/commands"), encode(command)?, SLOW)
            .await
    }

    pub(crate) async fn audit(&self, before: Option<i64>) -> Answer<AuditPage> {
        match before {
            Some(seq) => self.get(format!("/audit?before={seq}")).await,
            None => self.get("/audit").await,
        }
    }

    pub(crate) async fn users(&self) -> Answer<Vec<User>> {
        self.get("/users").await
    }

    pub(crate) async fn add_user(&self, user: &NewUser) -> Answer<User> {
        self.post("/users", encode(user)?, QUICK).await
    }

    pub(crate) async fn change_user(&self, id: UserId, change: &UserChange) -> Answer<User> {
        self.put(format!("/users/{id}"), encode(change)?).await
    }

    pub(crate) async fn delete_user(&self, id: UserId) -> Answer<()> {
        self.delete(format!("/users/{id}")).await
    }
}

/// Where a run's whole output is downloaded from.
pub(crate) fn output_url(id: RunId) -> String {
    format!("{BASE}/runs/{id}/output")
}

/// Where a drill's report is shown to be printed.
pub(crate) fn report_url(id: RunId) -> String {
    format!("{BASE}/runs/{id}/report.html")
}

/// Where it is shown as JSON.
pub(crate) fn report_json_url(id: RunId) -> String {
    format!("{BASE}/runs/{id}/report")
}

/// Where the file of a snapshot is downloaded from.
pub(crate) fn snapshot_url(id: SnapshotId) -> String {
    format!("{BASE}/snapshots/{id}/file")
}

/// Live data of a run's page, with the output after a chunk.
pub(crate) fn run_stream_url(id: RunId, after: u64) -> String {
    format!("{BASE}/runs/{id}/stream?after={after}")
}

/// Live data of every other page.
pub(crate) fn overview_stream_url() -> String {
    format!("{BASE}/stream")
}

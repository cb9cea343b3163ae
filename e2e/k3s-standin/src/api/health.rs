//! `/readyz`, `/livez`, `/healthz`, and `/version`.

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::query::Query;
use super::status::raw_response;
use crate::net::body::AnyBody;
use crate::version::{API_GO_VERSION, BUILD_DATE, go_arch, release};

/// The checks of `/readyz?verbose`, in the recorded order (transcript 04).
const READYZ_CHECKS: [&str; 24] = [
    "ping",
    "log",
    "etcd",
    "informer-sync",
    "poststarthook/start-kube-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/priority-and-fairness-filter",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/bootstrap-controller",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/aggregator-reload-proxy-client-cert",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-status-available-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion",
    "poststarthook/apiservice-openapi-controller",
    "shutdown",
];

/// Checks only `/readyz` has.
const READY_ONLY: [&str; 2] = ["informer-sync", "shutdown"];

/// Answers `/readyz`, `/livez`, `/healthz` and their single checks; `None` when the path is none of them.
pub(super) fn answer(path: &str, query: &Query, etcd_ok: bool) -> Option<Response<AnyBody>> {
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let endpoint = parts.next()?;
    if !["readyz", "livez", "healthz"].contains(&endpoint) {
        return None;
    }
    let checks: Vec<&str> = READYZ_CHECKS
        .into_iter()
        .filter(|check| endpoint == "readyz" || !READY_ONLY.contains(check))
        .collect();
    if let Some(single) = parts.next().filter(|single| !single.is_empty()) {
        if !checks.contains(&single) {
            return Some(raw_response(
                StatusCode::NOT_FOUND,
                "text/plain",
                "404 page not found\n",
            ));
        }
        return Some(if single == "etcd" && !etcd_ok {
            let text = "internal server error: etcd failed: context deadline exceeded\n";
            raw_response(
                StatusCode::INTERNAL_SERVER_ERROR,
                "text/plain; charset=utf-8",
                text,
            )
        } else {
            raw_response(StatusCode::OK, "text/plain; charset=utf-8", "ok")
        });
    }
    if etcd_ok && !query.switch("verbose") && query.get("verbose").is_none() {
        return Some(raw_response(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            "ok",
        ));
    }
    let mut text = String::new();
    for check in checks {
        if check == "etcd" && !etcd_ok {
            text.push_str("[-]etcd failed: reason withheld\n");
        } else {
            text.push_str(&format!("[+]{check} ok\n"));
        }
    }
    let verdict = if etcd_ok { "passed" } else { "failed" };
    text.push_str(&format!("{endpoint} check {verdict}\n"));
    let code = if etcd_ok {
        StatusCode::OK
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    Some(raw_response(code, "text/plain; charset=utf-8", text))
}

/// `/version`, in Go's field order and indentation.
pub(super) fn version() -> String {
    let release = release();
    let (major, minor, version, commit) = ("1", release.minor, &release.name, &release.commit);
    format!(
        "{{\n  \"major\": \"{major}\",\n  \"minor\": \"{minor}\",\n  \"gitVersion\": \"{version}\",\n  \"gitCommit\": \"{commit}\",\n  \
         \"gitTreeState\": \"clean\",\n  \"buildDate\": \"{BUILD_DATE}\",\n  \"goVersion\": \"{API_GO_VERSION}\",\n  \
         \"compiler\": \"gc\",\n  \"platform\": \"linux/{}\"\n}}",
        go_arch()
    )
}

/// Paths listed at `/`.
pub(super) fn root() -> Value {
    json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/readyz", "/version"]})
}

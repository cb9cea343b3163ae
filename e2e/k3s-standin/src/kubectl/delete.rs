//! `kubectl delete`: asks, then waits until the objects are gone.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::args::Args;
use super::client::Kube;
use super::get::{Wanted, encode, wanted};
use super::{Complaint, Outcome};
use crate::output;

/// How often it looks whether an object is gone.
const POLL: Duration = Duration::from_millis(250);

/// Runs `delete`.
pub(super) async fn run(kube: &Kube, args: &Args) -> Outcome {
    let mut gone = Vec::new();
    let mut complaint = None;
    for kind in wanted(&args.words)? {
        for name in names(kube, args, &kind).await? {
            let path = kind.resource.path(Some(args.namespace()), Some(&name));
            match delete(kube, args, &path).await {
                Ok(uid) => {
                    let how = if args.switch("force") {
                        "force deleted"
                    } else {
                        "deleted"
                    };
                    let group = if kind.resource.group.is_empty() {
                        kind.resource.singular.to_owned()
                    } else {
                        format!("{}.{}", kind.resource.singular, kind.resource.group)
                    };
                    output::line(format!("{group} \"{name}\" {how}"));
                    gone.push((path, uid, format!("{}/{name}", kind.resource.plural)));
                }
                Err(error) if args.switch("ignore-not-found") && error.0.contains("(NotFound)") => {
                }
                Err(error) => complaint = Some(error),
            }
        }
    }
    let waits = args.value("wait").is_none_or(|value| value != "false") && !args.switch("force");
    if waits {
        let limit = args
            .duration("timeout")?
            .map(|timeout| Instant::now() + timeout);
        for (path, uid, label) in gone {
            wait(kube, &path, &uid, &label, limit).await?;
        }
    }
    complaint.map_or(Ok(()), Err)
}

async fn names(kube: &Kube, args: &Args, kind: &Wanted) -> Result<Vec<String>, Complaint> {
    if !kind.names.is_empty() {
        return Ok(kind.names.clone());
    }
    let mut path = kind.resource.path(Some(args.namespace()), None);
    match args.value("selector") {
        Some(selector) => path.push_str(&format!("?labelSelector={}", encode(selector))),
        None if args.switch("all") => {}
        None => {
            return Err(Complaint::new(
                "error: resource(s) were provided, but no name was specified",
            ));
        }
    }
    let list = kube.get(&path, false).await?;
    Ok(list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned))
        .collect())
}

async fn delete(kube: &Kube, args: &Args, path: &str) -> Result<Value, Complaint> {
    let object = kube.get(path, false).await?;
    let mut options =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
    if args.switch("force") {
        output::error_line(
            "warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely.",
        );
        options["gracePeriodSeconds"] = json!(0);
    }
    if let Some(grace) = args
        .value("grace-period")
        .and_then(|text| text.parse::<i64>().ok())
        && grace >= 0
    {
        options["gracePeriodSeconds"] = json!(grace);
    }
    kube.change(Method::DELETE, path, "application/json", &options)
        .await?;
    Ok(object["metadata"]["uid"].clone())
}

async fn wait(
    kube: &Kube,
    path: &str,
    uid: &Value,
    label: &str,
    limit: Option<Instant>,
) -> Outcome {
    while kube.exists(path, uid).await? {
        if limit.is_some_and(|limit| Instant::now() >= limit) {
            return Err(Complaint::new(format!(
                "error: timed out waiting for the condition on {label}"
            )));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

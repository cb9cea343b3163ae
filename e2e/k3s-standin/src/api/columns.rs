//! What kubectl shows of each kind: columns and cells.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::resources::Resource;
use super::store::deleting;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Heading.
    pub(super) name: &'static str,
    /// Only with `-o wide`.
    pub(super) wide: bool,
}

const fn column(name: &'static str) -> Column {
    Column { name, wide: false }
}

const fn wide(name: &'static str) -> Column {
    Column { name, wide: true }
}

const NODES: [Column; 10] = [
    column("Name"),
    column("Status"),
    column("Roles"),
    column("Age"),
    column("Version"),
    wide("Internal-IP"),
    wide("External-IP"),
    wide("OS-Image"),
    wide("Kernel-Version"),
    wide("Container-Runtime"),
];
const PODS: [Column; 9] = [
    column("Name"),
    column("Ready"),
    column("Status"),
    column("Restarts"),
    column("Age"),
    wide("IP"),
    wide("Node"),
    wide("Nominated Node"),
    wide("Readiness Gates"),
];
const SECRETS: [Column; 4] = [
    column("Name"),
    column("Type"),
    column("Data"),
    column("Age"),
];
const CONFIGMAPS: [Column; 3] = [column("Name"), column("Data"), column("Age")];
const ENDPOINTS: [Column; 3] = [column("Name"), column("Endpoints"), column("Age")];
const LEASES: [Column; 3] = [column("Name"), column("Holder"), column("Age")];
const NAMESPACES: [Column; 3] = [column("Name"), column("Status"), column("Age")];
const DEPLOYMENTS: [Column; 5] = [
    column("Name"),
    column("Ready"),
    column("Up-to-date"),
    column("Available"),
    column("Age"),
];
const REPLICASETS: [Column; 5] = [
    column("Name"),
    column("Desired"),
    column("Current"),
    column("Ready"),
    column("Age"),
];
const DAEMONSETS: [Column; 8] = [
    column("Name"),
    column("Desired"),
    column("Current"),
    column("Ready"),
    column("Up-to-date"),
    column("Available"),
    column("Node Selector"),
    column("Age"),
];
const STATEFULSETS: [Column; 3] = [column("Name"), column("Ready"), column("Age")];
const BUDGETS: [Column; 5] = [
    column("Name"),
    column("Min Available"),
    column("Max Unavailable"),
    column("Allowed Disruptions"),
    column("Age"),
];
const SERVICES: [Column; 6] = [
    column("Name"),
    column("Type"),
    column("Cluster-IP"),
    column("External-IP"),
    column("Port(s)"),
    column("Age"),
];
const EVENTS: [Column; 5] = [
    column("Last Seen"),
    column("Type"),
    column("Reason"),
    column("Object"),
    column("Message"),
];
const OTHERS: [Column; 2] = [column("Name"), column("Age")];

/// Columns of a kind.
pub(super) fn columns(resource: &Resource) -> &'static [Column] {
    match resource.plural {
        "nodes" => &NODES,
        "pods" => &PODS,
        "secrets" => &SECRETS,
        "configmaps" => &CONFIGMAPS,
        "endpoints" => &ENDPOINTS,
        "leases" => &LEASES,
        "namespaces" => &NAMESPACES,
        "deployments" => &DEPLOYMENTS,
        "replicasets" => &REPLICASETS,
        "daemonsets" => &DAEMONSETS,
        "statefulsets" => &STATEFULSETS,
        "poddisruptionbudgets" => &BUDGETS,
        "services" => &SERVICES,
        "events" => &EVENTS,
        _ => &OTHERS,
    }
}

/// Cells of an object, one a column.
pub(super) fn row(resource: &Resource, object: &Value) -> Vec<Value> {
    let name = object["metadata"]["name"].clone();
    let age = json!(age(&object["metadata"]["creationTimestamp"]));
    let count = |value: &Value| json!(value.as_object().map_or(0, serde_json::Map::len));
    let (spec, status) = (&object["spec"], &object["status"]);
    let number = |value: &Value| json!(value.as_i64().unwrap_or(0));
    match resource.plural {
        "nodes" => node(object, name, age),
        "pods" => pod(object, name, age),
        "secrets" => vec![name, object["type"].clone(), count(&object["data"]), age],
        "configmaps" => vec![name, count(&object["data"]), age],
        "endpoints" => vec![name, json!(endpoint_list(object)), age],
        "leases" => vec![
            name,
            json!(spec["holderIdentity"].as_str().unwrap_or_default()),
            age,
        ],
        "namespaces" => vec![name, status["phase"].clone(), age],
        "deployments" => vec![
            name,
            json!(format!(
                "{}/{}",
                number(&status["readyReplicas"]),
                number(&spec["replicas"])
            )),
            number(&status["updatedReplicas"]),
            number(&status["availableReplicas"]),
            age,
        ],
        "replicasets" => vec![
            name,
            number(&spec["replicas"]),
            number(&status["replicas"]),
            number(&status["readyReplicas"]),
            age,
        ],
        "daemonsets" => {
            let selector = spec["template"]["spec"]["nodeSelector"].as_object();
            let pairs = selector
                .into_iter()
                .flatten()
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
            let pairs: Vec<String> = pairs.collect();
            vec![
                name,
                number(&status["desiredNumberScheduled"]),
                number(&status["currentNumberScheduled"]),
                number(&status["numberReady"]),
                number(&status["updatedNumberScheduled"]),
                number(&status["numberAvailable"]),
                json!(if pairs.is_empty() {
                    "<none>".to_owned()
                } else {
                    pairs.join(",")
                }),
                age,
            ]
        }
        "statefulsets" => vec![
            name,
            json!(format!(
                "{}/{}",
                number(&status["readyReplicas"]),
                number(&spec["replicas"])
            )),
            age,
        ],
        "poddisruptionbudgets" => {
            let amount = |value: &Value| match value {
                Value::String(text) => json!(text),
                Value::Number(number) => json!(number.to_string()),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => json!("N/A"),
            };
            vec![
                name,
                amount(&spec["minAvailable"]),
                amount(&spec["maxUnavailable"]),
                number(&status["disruptionsAllowed"]),
                age,
            ]
        }
        "services" => service(object, name, age),
        "events" => event(object),
        _ => vec![name, age],
    }
}

fn node(object: &Value, name: Value, age: Value) -> Vec<Value> {
    let ready = condition(object, "Ready");
    let mut status = if ready == Some("True") {
        "Ready"
    } else {
        "NotReady"
    }
    .to_owned();
    if object["spec"]["unschedulable"] == json!(true) {
        status.push_str(",SchedulingDisabled");
    }
    let labels = object["metadata"]["labels"].as_object();
    let roles: Vec<&str> = labels
        .into_iter()
        .flat_map(|labels| labels.keys())
        .filter_map(|label| label.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    let roles = if roles.is_empty() {
        "<none>".to_owned()
    } else {
        roles.join(",")
    };
    let address = |kind: &str| {
        object["status"]["addresses"]
            .as_array()
            .and_then(|list| list.iter().find(|address| address["type"] == json!(kind)))
            .and_then(|address| address["address"].as_str())
            .map_or_else(|| json!("<none>"), |text| json!(text))
    };
    let info = &object["status"]["nodeInfo"];
    vec![
        name,
        json!(status),
        json!(roles),
        age,
        info["kubeletVersion"].clone(),
        address("InternalIP"),
        address("ExternalIP"),
        info["osImage"].clone(),
        info["kernelVersion"].clone(),
        info["containerRuntimeVersion"].clone(),
    ]
}

fn pod(object: &Value, name: Value, age: Value) -> Vec<Value> {
    let statuses = object["status"]["containerStatuses"]
        .as_array()
        .map(Vec::as_slice);
    let statuses = statuses.unwrap_or_default();
    let total = object["spec"]["containers"].as_array().map_or(0, Vec::len);
    let ready = statuses
        .iter()
        .filter(|status| status["ready"] == json!(true))
        .count();
    let restarts: i64 = statuses
        .iter()
        .filter_map(|status| status["restartCount"].as_i64())
        .sum();
    let waiting = statuses
        .iter()
        .find_map(|status| status["state"]["waiting"]["reason"].as_str());
    let phase = object["status"]["phase"].as_str().unwrap_or("Unknown");
    let shown = if deleting(object) {
        "Terminating"
    } else {
        waiting.unwrap_or(phase)
    };
    let or_none = |value: &Value| json!(value.as_str().unwrap_or("<none>"));
    vec![
        name,
        json!(format!("{ready}/{total}")),
        json!(shown),
        json!(restarts.to_string()),
        age,
        or_none(&object["status"]["podIP"]),
        or_none(&object["spec"]["nodeName"]),
        json!("<none>"),
        json!("<none>"),
    ]
}

fn service(object: &Value, name: Value, age: Value) -> Vec<Value> {
    let ports: Vec<String> = object["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| {
            format!(
                "{}/{}",
                port["port"],
                port["protocol"].as_str().unwrap_or("TCP")
            )
        })
        .collect();
    vec![
        name,
        object["spec"]["type"].clone(),
        object["spec"]["clusterIP"].clone(),
        json!("<none>"),
        json!(ports.join(",")),
        age,
    ]
}

fn event(object: &Value) -> Vec<Value> {
    let about = &object["involvedObject"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    vec![
        json!(age(&object["lastTimestamp"])),
        object["type"].clone(),
        object["reason"].clone(),
        json!(format!("{}/{}", text(&about["kind"]), text(&about["name"]))),
        object["message"].clone(),
    ]
}

/// `ip:port,…` of an Endpoints object, as kubectl shortens it.
fn endpoint_list(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in object["subsets"].as_array().into_iter().flatten() {
        for port in subset["ports"].as_array().into_iter().flatten() {
            for address in subset["addresses"].as_array().into_iter().flatten() {
                all.push(format!(
                    "{}:{}",
                    address["ip"].as_str().unwrap_or_default(),
                    port["port"]
                ));
            }
        }
    }
    match all.len() {
        0 => "<none>".to_owned(),
        1..=3 => all.join(","),
        more => format!("{} + {} more...", all[..3].join(","), more - 3),
    }
}

/// Status of a condition.
fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == json!(kind))?["status"]
        .as_str()
}

fn age(created: &Value) -> String {
    match created
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok())
    {
        None => "<unknown>".to_owned(),
        Some(at) => human(Timestamp::now().duration_since(at).as_secs()),
    }
}

/// Kubernetes' `HumanDuration`.
fn human(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |big: i64, unit: &str, small: i64, rest: &str| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit}{small}{rest}")
        }
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => pair(days, "d", hours % 24, "h"),
        () if days < 730 => format!("{days}d"),
        () => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_kubectl_prints_them() {
        let pairs = [
            (36, "36s"),
            (304, "5m4s"),
            (240, "4m"),
            (780, "13m"),
            (182, "3m2s"),
        ];
        for (seconds, text) in pairs {
            assert_eq!(human(seconds), text);
        }
        assert_eq!(human(3 * 3600 + 60), "3h1m");
    }
}

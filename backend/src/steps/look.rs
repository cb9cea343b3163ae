//! Step kind `look`: one of a fixed list of commands on a host; what it prints is kept as the step's
//! output. Nothing is changed or left there.

mod certificates;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::StepError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jobs::host;
use super::restart::NodeRole;
use super::{Services, check, failure};
use crate::time::now;
use crate::world::{RemoteCommand, Script};

/// Stored name.
pub const KIND: &str = "look";

const TIMEOUT: Duration = Duration::from_secs(60);
/// Output kept; a large cluster's pods take about 200 bytes each.
const MAX_OUTPUT: usize = 4 * 1024 * 1024;
/// How much of a failed command's output its error quotes.
const QUOTED: usize = 6;

/// `$1` what to look at; for a log `$2` the unit and `$3` the number of lines.
pub(crate) const LOOK: Script = Script {
    name: "look",
    text: r#"exec 2>&1
PATH=$PATH:/usr/local/bin:/opt/bin
kube() {
    # kubectl keeps what it has learned in its home: that goes when it is done.
    home=$(mktemp -d) || exit 1
    trap 'rm -rf "$home"' EXIT
    HOME=$home k3s kubectl --request-timeout=20s "$@"
}
case $1 in
nodes) kube get nodes -o wide ;;
pods) kube get pods -A -o wide ;;
snapshots) k3s etcd-snapshot ls ;;
log) journalctl -q --no-pager -o short-iso -u "$2" -n "$3" ;;
certificates)
    if ! k3s certificate --help | grep -Eq '^ +check( |,|$)'; then
        # This k3s is too old for that: its files, for the panel to read.
        cd /var/lib/rancher/k3s || exit 1
        for file in server/tls/*.crt server/tls/*/*.crt agent/*.crt; do
            [ -f "$file" ] || continue
            echo "--- $file"
            cat "$file"
        done
    elif k3s certificate check --help | grep -q -- --output; then
        k3s certificate check --output table
    else
        k3s certificate check
    fi
    ;;
*) exit 2 ;;
esac
"#,
};

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum View {
    /// The cluster's nodes.
    Nodes,
    /// All pods.
    Pods,
    /// etcd snapshots that lie on the server.
    Snapshots,
    /// Dates of the certificates on the host.
    Certificates,
    /// The end of k3s's log.
    Log {
        /// Server or agent: the unit.
        role: NodeRole,
        /// How many lines.
        lines: u32,
    },
}

/// As a person would type it.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            View::Nodes => f.write_str("k3s kubectl get nodes -o wide"),
            View::Pods => f.write_str("k3s kubectl get pods -A -o wide"),
            View::Snapshots => f.write_str("k3s etcd-snapshot ls"),
            View::Certificates => f.write_str("k3s certificate check"),
            View::Log { role, lines } => {
                write!(f, "journalctl --no-pager -u {} -n {lines}", role.unit())
            }
        }
    }
}

impl View {
    fn arguments(self) -> Vec<String> {
        match self {
            View::Nodes => vec!["nodes".to_owned()],
            View::Pods => vec!["pods".to_owned()],
            View::Snapshots => vec!["snapshots".to_owned()],
            View::Certificates => vec!["certificates".to_owned()],
            View::Log { role, lines } => {
                vec!["log".to_owned(), role.unit().to_owned(), lines.to_string()]
            }
        }
    }
}

/// Parameters: the step's host is the one that is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// What is looked at.
    pub view: View,
}

/// The step kind.
pub struct Look(pub Services);

#[async_trait]
impl StepKind for Look {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let kept = match &context.output {
            Some(output) => output.position().await,
            None => 0,
        };
        Ok(if kept > 0 {
            Probe::Done {
                observed: "what it printed is kept".to_owned(),
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: "nothing was printed yet".to_owned(),
            }
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let view = context.params::<Params>()?.view;
        let command = RemoteCommand::script(LOOK)
            .args(view.arguments())
            .sudo()
            .timeout(TIMEOUT)
            .max_output(MAX_OUTPUT);
        let world = &*self.0.world;
        let answer = match world.run(host(context)?, command.clone()).await {
            // The connection of before may have died with its host's last start.
            Err(lost) if lost.is_transient() => world.run(host(context)?, command).await,
            answer => answer,
        };
        let answer = answer.map_err(failure::at_once)?;
        let printed = answer.text();
        if !answer.success() {
            return Err(refused(view, answer.status, &printed));
        }
        let mut text = format!("$ {view}\n{}", shown(view, &printed));
        if !text.ends_with('\n') {
            text.push('\n');
        }
        if answer.truncated > 0 {
            text.push_str(&format!(
                "coxswain: {} more bytes were left out\n",
                answer.truncated
            ));
        }
        let lost = |e| StepFailure::fatal(format!("the step's output cannot be stored: {e}"));
        let output = context.output.as_ref();
        let output = output.ok_or_else(|| StepFailure::fatal("the step has no output"))?;
        let from = output.position().await;
        output.append(from, text.as_bytes()).await.map_err(lost)?;
        output.finish().await.map_err(lost)
    }
}

fn shown(view: View, printed: &str) -> String {
    match view {
        View::Certificates => {
            certificates::table(printed, now()).unwrap_or_else(|| printed.to_owned())
        }
        View::Nodes | View::Pods | View::Snapshots | View::Log { .. } => printed.to_owned(),
    }
}

fn refused(view: View, status: i32, printed: &str) -> StepFailure {
    let lines: Vec<&str> = printed.lines().collect();
    let last = &lines[lines.len().saturating_sub(QUOTED)..];
    StepFailure::Fatal(StepError {
        message: format!("{view} ended with status {status}"),
        causes: last.iter().map(|line| (*line).to_owned()).collect(),
        advice: Some("Its last lines say why. Nothing was changed: retry, or abandon.".to_owned()),
    })
}

//! The form of `failover_drill`, its help and its warnings.

use std::ops::RangeInclusive;

use coxswain_wire::WorkflowInfo;

use super::super::draft::Draft;
use super::super::fields::{self, text};
use super::Request;
use crate::steps::drill::Fault;

pub(super) const STOPPED: &str = "stopped";
pub(super) const KILLED: &str = "killed";
pub(super) const CUT: &str = "cut";
pub(super) const POWER_OFF: &str = "power_off";

/// Seconds to observe: NotReady after 40 to 50 s, eviction 305 s later, and the pods' start.
pub(super) const OBSERVE_S: u32 = 420;
/// The same where k3s comes back by itself.
pub(super) const KILLED_S: u32 = 120;
/// Seconds from which on an eviction can be seen.
pub(super) const EVICTION_S: u32 = 340;
/// Seconds that the API may be away before the fault is taken away.
pub(super) const API_AWAY_S: u32 = 60;
/// Seconds that people accept.
pub(super) const DOWNTIME_S: u32 = 30;

/// What may be asked for, seconds.
pub(super) const OBSERVED: RangeInclusive<u32> = 20..=3600;
pub(super) const AWAY: RangeInclusive<u32> = 5..=600;
pub(super) const DOWNTIME: RangeInclusive<u32> = 1..=600;

/// The description.
pub(super) fn info(name: &str) -> WorkflowInfo {
    let cluster = fields::cluster("It must be running and whole.");
    let host = fields::required(fields::host(
        "host",
        "Server",
        "The one that gets the fault.",
    ));
    let fault = fields::preset(
        STOPPED,
        fields::choice(
            "fault",
            "Fault",
            "Power off needs a power control, which is set on the host's page.",
            &[
                (STOPPED, "k3s is stopped"),
                (KILLED, "k3s is killed"),
                (CUT, "Its network is cut"),
                (POWER_OFF, "Its power is switched off"),
            ],
        ),
    );
    let observe = text(
        "observe_s",
        "Observe for, seconds",
        &format!(
            "From {} to {}. Empty: {OBSERVE_S}, which lets pods be evicted and start elsewhere; {KILLED_S} for a killed k3s. Below {EVICTION_S} no eviction can be seen.",
            OBSERVED.start(),
            OBSERVED.end()
        ),
        &OBSERVE_S.to_string(),
    );
    let away = text(
        "api_away_s",
        "End it if the API is away for, seconds",
        &format!(
            "Without a break, by the way that clients take: the load balancers, or the cluster's endpoint. Empty: {API_AWAY_S}. A check of HAProxy's own may take 30 s to notice a dead server."
        ),
        &API_AWAY_S.to_string(),
    );
    let downtime = text(
        "downtime_s",
        "Downtime of the API that you accept, seconds",
        &format!("For the score. Empty: {DOWNTIME_S}."),
        &DOWNTIME_S.to_string(),
    );
    let only = fields::flag(
        "only_replicas",
        "Go on although some workloads run on this server alone",
        "The gate names them, and what becomes of each. They are out of service meanwhile, unless only k3s is stopped or killed and is back before anything is evicted: then this is not needed. Pods of a StatefulSet and pods with a volume on this server (local-path) do not start elsewhere: they wait until it is back. A pod that nobody made is lost for good once it is evicted.",
    );
    WorkflowInfo {
        name: name.to_owned(),
        title: "Failover drill".to_owned(),
        summary: "Takes one server down on purpose, and reports how the cluster gets along without it.".to_owned(),
        help: [
            "A snapshot is taken first, and everything must be well: all nodes Ready, etcd whole, the API answers through the load balancers, at the cluster's endpoint and through every server. Workloads without a ready replica are left out. Then the server gets its fault, the cluster is watched every second, the fault is taken away, and everything must be well again.",
            "k3s stopped: in good order, its containers go on running. k3s killed: as in a crash; systemd starts it again. Network cut: a firewall rule drops what goes to and comes from the other nodes and the load balancers; SSH stays open. Power off: as if the plug was pulled, by the host's power control.",
            "What it risks: for the time of the drill, one more loss is an outage. Connections through the server break. Pods on it are evicted about six minutes after the fault: those of a Deployment start elsewhere, which costs what a restart of them costs; those of a StatefulSet, and those with a volume on the server itself (local-path), are away until it is back; a pod that nobody made, e.g. by kubectl run, is lost for good. A power cut can damage what the server has not written yet.",
            "The fault is taken away at once when a second node, server or agent, is seen not Ready in three looks in a row, two seconds apart, when the etcd of another server is not healthy for longer than an election takes (20 seconds), when the API is away for too long, or when you stop the run; the report is made all the same (after a stop of what was seen until then, at the top of the run's page). If the panel itself dies, a timer on the server ends the fault without it; power off has no such timer, and the gate says who must switch it on.",
            "Do not pause it: a run that is paused, or parked because the panel cannot tell what is safe, leaves the server without k3s, cut off or switched off until the run goes on or is stopped. The timer ends a fault then, too; what lost its power stays off until somebody switches it on.",
            "It takes the observed time and three to five minutes more; a server whose power is off has to boot, which may take a few minutes more. Kubernetes calls a node NotReady after 40 to 50 s and evicts its pods 300 s later: a shorter observation cannot see that.",
            "If it fails: the fault is taken away first, whatever failed. Read the failed step, look at the cluster's page, and retry: the fault is then made once more. If the server does not come back by itself, start k3s on it (systemctl start k3s), remove the rules (nft delete table inet coxswain_drill, or the chains COXSWAIN-PREROUTING and COXSWAIN-POSTROUTING of iptables' table mangle), or switch it on. Pods that stay in Terminating on a server that is off for good are freed by the workflow \u{201c}Free stuck pods\u{201d}.",
        ]
        .map(str::to_owned)
        .to_vec(),
        fields: vec![cluster, host, fault, observe, away, downtime, only],
    }
}

/// What happens to the server, for titles.
pub(super) fn what(fault: &Fault) -> &'static str {
    match fault {
        Fault::Stopped => "has k3s stopped",
        Fault::Killed => "has k3s killed",
        Fault::Cut { .. } => "is cut off",
        Fault::PowerOff { .. } => "loses its power",
    }
}

/// What a person should know before the plan is approved.
pub(super) fn warn(draft: &mut Draft, request: &Request) {
    let name = &request.victim.name;
    draft.warn(format!(
        "While {name} is away, one more loss of a server may be an outage."
    ));
    if request.observe_s < EVICTION_S && request.fault != Fault::Killed {
        draft.warn(format!(
            "{} s are too short to see an eviction: pods tolerate a dead node for 300 s after it is NotReady.",
            request.observe_s
        ));
    }
    match &request.fault {
        Fault::Stopped | Fault::Cut { .. } => draft.warn(format!(
            "A pause leaves {name} with its fault, until the run goes on, or the timer on {name} ends it."
        )),
        Fault::Killed | Fault::PowerOff { .. } => {}
    }
    if let (Fault::PowerOff { control }, Some(switch)) = (&request.fault, &request.switch) {
        draft.warn(format!(
            "If the panel dies meanwhile, or the run is paused or parked, nothing switches {name} on by itself: somebody has to run \u{201c}{}\u{201d} on {switch}.",
            control.on.join(" ")
        ));
    }
}

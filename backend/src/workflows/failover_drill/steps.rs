//! The steps of `failover_drill`, with their commands as a person would type them.

use std::net::IpAddr;

use coxswain_engine::plan::Step;
use coxswain_wire::StepIndex;

use super::super::draft::step;
use super::super::nodes::Nodes;
use super::super::step_list;
use super::endpoint::own_way;
use super::{Request, form};
use crate::steps::drill::{Fault, Watched, timer};
use crate::steps::observe_drill::{self, Until};
use crate::steps::{
    arm_drill_timer, disarm_drill_timer, end_fault, inject_fault, report_drill, steady_state,
};

const UNIT: &str = "coxswain-drill-\u{2039}run\u{203a}";

pub(super) fn steady(request: &Request, title: &str) -> Step {
    let nodes = &request.nodes;
    let victim = &request.victim;
    let (mut servers, last): (Vec<_>, Vec<_>) = nodes
        .servers
        .iter()
        .map(super::Node::api)
        .partition(|server| server.host != victim.host);
    servers.extend(last);
    let params = steady_state::Params {
        servers,
        agents: nodes.agents.iter().map(|a| a.name.to_string()).collect(),
        load_balancers: nodes.load_balancers.iter().map(super::Node::api).collect(),
        endpoint: own_way(nodes),
    };
    let mut planned = step(steady_state::KIND, title, nodes.name.as_str(), &params);
    planned.deadline_s = 300;
    planned.commands = vec![
        asks_ways(nodes),
        "kubectl get nodes; kubectl get pods -A".to_owned(),
        "etcd on each server: POST /v3/cluster/member/list, GET /health".to_owned(),
    ];
    planned
}

fn asks_ways(nodes: &Nodes) -> String {
    match own_way(nodes) {
        Some(endpoint) => format!("GET /readyz at the endpoint {endpoint} and each server"),
        None => "GET /readyz through the load balancer and each server".to_owned(),
    }
}

/// None where no timer on the host can take the fault away.
pub(super) fn arm(request: &Request, fault: &Fault) -> Option<Step> {
    let heals = match fault {
        Fault::Stopped | Fault::Killed => "systemctl start k3s",
        Fault::Cut { .. } => "nft delete table inet coxswain_drill, or the same with iptables",
        Fault::PowerOff { .. } => return None,
    };
    let victim = &request.victim;
    let params = arm_drill_timer::Params {
        fault: fault.clone(),
        observe_s: request.observe_s,
    };
    let title = format!(
        "Let {} end the fault by itself if the panel dies",
        victim.name
    );
    let mut planned = step(arm_drill_timer::KIND, title, victim.name.as_str(), &params);
    planned.host = Some(victim.host);
    planned.commands = vec![format!(
        "systemd-run --unit={UNIT} --on-active={}s sh: {heals}",
        request.observe_s + timer::LONGER
    )];
    planned.compensation = Some("take the timer off the host".to_owned());
    Some(planned)
}

pub(super) fn inject(request: &Request, watched: &Watched) -> Step {
    let victim = &request.victim;
    let params = inject_fault::Params {
        watched: watched.clone(),
        observe_s: request.observe_s,
    };
    let title = format!("{} {}", victim.name, form::what(&watched.fault));
    let mut planned = step(inject_fault::KIND, title, victim.name.as_str(), &params);
    planned.host = Some(victim.host);
    planned.deadline_s = deadline(&watched.fault);
    planned.forecast = step_list::forecast(&request.nodes, &request.target);
    planned.commands = match &watched.fault {
        Fault::Stopped => vec!["systemctl stop k3s".to_owned()],
        Fault::Killed => vec!["kill -KILL \u{2039}main process of k3s\u{203a}".to_owned()],
        Fault::Cut { peers, .. } => cut(peers),
        Fault::PowerOff { control } => vec![switched(request, &control.off)],
    };
    planned.compensation = Some(healing(request, &watched.fault));
    planned
}

/// For making or ending a fault.
fn deadline(fault: &Fault) -> u32 {
    match fault {
        Fault::Stopped | Fault::Killed | Fault::Cut { .. } => inject_fault::DEADLINE_S,
        Fault::PowerOff { .. } => inject_fault::BOOT_DEADLINE_S,
    }
}

fn cut(peers: &[IpAddr]) -> Vec<String> {
    let peers: Vec<String> = peers.iter().map(IpAddr::to_string).collect();
    vec![
        "with nft (table inet coxswain_drill), or with iptables (table mangle):".to_owned(),
        "accept tcp to and from the ports of sshd".to_owned(),
        format!(
            "drop everything from and to {}, and the nodes' other addresses in Kubernetes",
            peers.join(", ")
        ),
    ]
}

/// A command of the power control, with where it runs.
fn switched(request: &Request, words: &[String]) -> String {
    let on = request.switch.as_deref().unwrap_or("another host");
    format!("{} (on {on})", words.join(" "))
}

fn healing(request: &Request, fault: &Fault) -> String {
    match fault {
        Fault::Stopped => "start k3s".to_owned(),
        Fault::Killed => "start k3s, if systemd has not done so".to_owned(),
        Fault::Cut { .. } => "take the firewall rules away".to_owned(),
        Fault::PowerOff { control } => {
            format!("switch it on: {}", switched(request, &control.on))
        }
    }
}

pub(super) fn observe(request: &Request, watched: &Watched) -> Step {
    let params = observe_drill::Params {
        watched: watched.clone(),
        until: Until::Over {
            observe_s: request.observe_s,
            api_away_s: request.api_away_s,
        },
    };
    let title = format!("Watch for {} s", request.observe_s);
    let target = request.nodes.name.as_str();
    let mut planned = step(observe_drill::KIND, title, target, &params);
    planned.ends_at_stop = true;
    planned.deadline_s = request.observe_s + 120;
    planned.commands = vec![
        format!("every second: {}", asks_ways(&request.nodes)),
        "every 2 s: kubectl get nodes; etcd on the other servers; every 4 s: kubectl get pods -A"
            .to_owned(),
        format!(
            "ended at once: a second node not Ready in three looks, the etcd of another server not healthy for 20 s, the API away for {} s",
            request.api_away_s
        ),
    ];
    planned
}

pub(super) fn end(request: &Request, watched: &Watched, fault: StepIndex) -> Step {
    let victim = &request.victim;
    let params = end_fault::Params {
        watched: watched.clone(),
    };
    let title = format!("Take the fault of {} away", victim.name);
    let mut planned = step(end_fault::KIND, title, victim.name.as_str(), &params);
    planned.host = Some(victim.host);
    planned.deadline_s = deadline(&watched.fault);
    planned.restores = vec![fault];
    planned.commands = vec![match &watched.fault {
        Fault::Stopped | Fault::Killed => "systemctl start --no-block k3s".to_owned(),
        Fault::Cut { .. } => {
            "nft delete table inet coxswain_drill, or the same with iptables".to_owned()
        }
        Fault::PowerOff { control } => switched(request, &control.on),
    }];
    planned
}

pub(super) fn disarm(request: &Request, timer: StepIndex) -> Step {
    let victim = &request.victim;
    let title = format!("Take the timer off {}", victim.name);
    let params = disarm_drill_timer::Params {};
    let mut planned = step(
        disarm_drill_timer::KIND,
        title,
        victim.name.as_str(),
        &params,
    );
    planned.host = Some(victim.host);
    planned.restores = vec![timer];
    planned.commands = vec![format!("systemctl stop {UNIT}.timer")];
    planned
}

pub(super) fn recovery(request: &Request, watched: &Watched) -> Step {
    let params = observe_drill::Params {
        watched: watched.clone(),
        until: Until::Recovered,
    };
    let target = request.nodes.name.as_str();
    let title = "Watch until everything is as before";
    let mut planned = step(observe_drill::KIND, title, target, &params);
    planned.ends_at_stop = true;
    planned.deadline_s = observe_drill::RECOVERY_S + 120;
    planned
}

pub(super) fn report(request: &Request, watched: &Watched) -> Step {
    let params = report_drill::Params {
        cluster: request.nodes.name.to_string(),
        watched: watched.clone(),
        observe_s: request.observe_s,
        downtime_s: request.downtime_s,
    };
    let target = request.nodes.name.as_str();
    step(report_drill::KIND, "Make the report", target, &params)
}

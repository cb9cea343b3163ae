//! The steps of a bootstrap, in their order.

use coxswain_engine::plan::{Gate, OutputRef, Param, Step};
use coxswain_k3s::install::{InstallRequest, Role};
use coxswain_wire::{SecretId, StepIndex};

use super::super::draft::{Draft, step};
use super::super::nodes::Node;
use super::super::step_list::{self, Install};
use super::{Request, server_names};
use crate::steps::record_cluster::Entry;
use crate::steps::remove_k3s;

/// k3s off every host that will get a new one.
pub(super) fn clean_up(request: &Request) -> Vec<Step> {
    let keep = step_list::kept_by_clean_up(&request.source);
    let params = remove_k3s::Params {
        keep,
        left: None,
        others: Vec::new(),
        lost: false,
    };
    request
        .nodes
        .with_k3s()
        .map(|node| step_list::remove(node, &params))
        .collect()
}

/// Everything from the first server to the last look.
pub(super) fn add(draft: &mut Draft, request: &Request, gate: Gate) {
    let nodes = &request.nodes;
    let Some((first, others)) = nodes.servers.split_first() else {
        return;
    };
    let sans = nodes.sans(&request.sans);
    let install = |node: &Node, role: Role, token: Option<Param<SecretId>>| Install {
        node: node.clone(),
        request: InstallRequest {
            source: request.source.clone(),
            node_name: Some(node.name.clone()),
            node_ip: Some(node.address),
            second_ip: None,
            sans: match role {
                Role::FirstServer | Role::JoinServer { .. } => sans.clone(),
                Role::Agent { .. } => Vec::new(),
            },
            extra_args: match role {
                Role::FirstServer | Role::JoinServer { .. } => request.server_args.clone(),
                Role::Agent { .. } => request.agent_args.clone(),
            },
            role,
        },
        via: token.is_some().then(|| first.clone()),
        token,
    };

    let role = Role::FirstServer;
    draft.stage(
        format!("First server: {}", first.name),
        Some(gate),
        vec![step_list::install(&install(first, role, None), None)],
    );

    let token = from_step(draft.next(), crate::steps::read_token::TOKEN);
    draft.stage("Token", None, vec![step_list::read_token(nodes, first)]);

    let up = [first.name.clone()];
    let balancers = nodes.load_balancers.iter();
    draft.stage(
        "Load balancer",
        None,
        balancers
            .map(|lb| step_list::configure_haproxy(nodes, lb, &nodes.servers, &up))
            .collect(),
    );

    let server_url = nodes.join_url(first);
    for (before, node) in (1..).zip(others) {
        let role = Role::JoinServer {
            server_url: server_url.clone(),
        };
        let forecast = Some(step_list::growth(before));
        let joining = install(node, role, Some(Param::Output(token.clone())));
        draft.stage(
            format!("Server: {}", node.name),
            None,
            vec![step_list::install(&joining, forecast)],
        );
    }

    let agents = nodes.agents.iter().map(|node| {
        let role = Role::Agent {
            server_url: server_url.clone(),
        };
        step_list::install(
            &install(node, role, Some(Param::Output(token.clone()))),
            None,
        )
    });
    draft.stage("Agents", None, agents.collect());

    let kubeconfig = Param::Output(from_step(
        draft.next(),
        crate::steps::fetch_kubeconfig::KUBECONFIG,
    ));
    draft.stage(
        "Kubeconfig",
        None,
        vec![step_list::fetch_kubeconfig(nodes, first)],
    );
    draft.stage(
        "Verification",
        None,
        vec![step_list::verify(
            nodes,
            &nodes.servers,
            &nodes.agents,
            &sans,
            kubeconfig,
        )],
    );
    let record = crate::steps::record_cluster::Params {
        cluster: nodes.cluster.id,
        entry: Entry::Running,
    };
    let title = format!(
        "Record {} as running on {}",
        nodes.name,
        server_names(request)
    );
    let mut recorded = step(
        crate::steps::record_cluster::KIND,
        title,
        &nodes.cluster.name,
        &record,
    );
    recorded.undo = Some("record it as planned again".to_owned());
    draft.stage("Record", None, vec![recorded]);
}

fn from_step(from_step: StepIndex, output: &str) -> OutputRef {
    OutputRef {
        from_step,
        output: output.to_owned(),
    }
}

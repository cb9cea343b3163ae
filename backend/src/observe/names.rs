//! Where the names in the API's certificate come from, by what each server's kubelet says that k3s was started
//! with. It is of the last start: what files say since then is for the workflow that changes names.

use std::collections::{BTreeMap, BTreeSet};

use coxswain_k3s::certs::AltName;
use coxswain_k3s::san_origin::{Origin, Origins, Told};
use coxswain_k3s::settings::Settings;
use coxswain_wire::{EndpointLive, NameOrigin};

use crate::world::KubeNode;

/// The origin of each name that is served; nothing while no server is seen.
pub(super) fn origins(
    endpoints: &[EndpointLive],
    nodes: &[KubeNode],
) -> BTreeMap<String, NameOrigin> {
    let servers: Vec<(&KubeNode, Settings)> = nodes
        .iter()
        .filter(|node| node.etcd_member_name.is_some())
        .filter_map(|node| Some((node, Settings::recorded(node.node_args.as_deref()?)?)))
        .collect();
    if servers.is_empty() {
        return BTreeMap::new();
    }
    let told: Vec<Told<'_>> = servers
        .iter()
        .map(|(node, settings)| Told {
            node: &node.name,
            address: &node.address,
            interfaces: &[],
            settings,
        })
        .collect();
    let known = Origins::of(&told);
    let served: BTreeSet<&String> = endpoints
        .iter()
        .filter_map(|endpoint| endpoint.certificate.as_ref())
        .flat_map(|certificate| &certificate.sans)
        .collect();
    served
        .into_iter()
        .map(|name| {
            let origin = known.origin(&AltName::from_text(name));
            (name.clone(), shown(origin))
        })
        .collect()
}

fn shown(origin: Origin) -> NameOrigin {
    match origin {
        Origin::Flag(on) => NameOrigin::Flag {
            servers: on.into_iter().map(|(node, _)| node).collect(),
        },
        Origin::NodeAddress(node) | Origin::Interface(node) => NameOrigin::NodeAddress { node },
        Origin::HostName(node) => NameOrigin::HostName { node },
        Origin::Standard => NameOrigin::Standard,
        Origin::History => NameOrigin::History,
    }
}

#[cfg(test)]
mod tests {
    use coxswain_wire::{MemberRole, ServedCertificate, Timestamp};

    use super::*;

    fn served(names: &[&str]) -> EndpointLive {
        EndpointLive {
            name: "node1".to_owned(),
            address: "10.0.0.1:6443".to_owned(),
            role: MemberRole::Server,
            ready: true,
            detail: String::new(),
            latency_ms: Some(1),
            certificate: Some(ServedCertificate {
                serial: "1".to_owned(),
                not_after: Timestamp(0),
                sans: names.iter().map(|name| (*name).to_owned()).collect(),
            }),
        }
    }

    fn node(name: &str, args: &str) -> KubeNode {
        KubeNode {
            name: name.to_owned(),
            address: "10.0.0.1".to_owned(),
            etcd_member_name: Some(format!("{name}-1")),
            node_args: Some(args.to_owned()),
            ..KubeNode::default()
        }
    }

    #[test]
    fn names_are_told_from_the_last_start() {
        let names = [
            "api.lab",
            "10.0.0.1",
            "node1",
            "kubernetes",
            "10.43.0.1",
            "old.lab",
        ];
        let args = r#"["server","--tls-san","api.lab","--token","********"]"#;
        let found = origins(&[served(&names)], &[node("node1", args)]);
        let node = || "node1".to_owned();
        let wanted = [
            NameOrigin::Flag {
                servers: vec![node()],
            },
            NameOrigin::NodeAddress { node: node() },
            NameOrigin::HostName { node: node() },
            NameOrigin::Standard,
            NameOrigin::Standard,
            NameOrigin::History,
        ];
        for (name, wanted) in names.iter().zip(&wanted) {
            assert_eq!(found.get(*name), Some(wanted), "{name}");
        }
    }

    #[test]
    fn without_a_server_nothing_is_said() {
        assert!(origins(&[served(&["node1"])], &[]).is_empty());
        let odd = node("node1", "no JSON");
        assert!(origins(&[served(&["node1"])], &[odd]).is_empty());
    }
}

//! The Kubernetes API in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use coxswain_k3s::serving::SECRET;
use futures::StreamExt as _;
use futures::stream;
use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, POD_LEAVES, Pod};
use super::k3s::{Fate, K3s};
use super::{CALL, FakeWorld, LATENCY, State, net, serving};
use crate::world::{
    DeploymentCounts, Eviction, Kube, KubeAccess, KubeBudget, KubeEndpoint, KubeLease, KubeNode,
    KubePod, KubeSecret, KubeWatch, NodeEvent, PodId, PodOwner, Readiness, Result, Secret,
    WorldError,
};

/// How often a kubelet renews its lease.
const RENEWS: Duration = Duration::from_secs(10);

/// A client.
pub(super) struct FakeKube {
    pub(super) world: FakeWorld,
    pub(super) access: KubeAccess,
}

impl FakeKube {
    /// Asks the first endpoint that answers.
    async fn ask<T>(&self, question: impl FnOnce(&mut State, u64) -> T + Send) -> Result<T> {
        sleep(LATENCY).await;
        for endpoint in &self.access.endpoints {
            if self.hangs(endpoint) {
                sleep(CALL).await;
                continue;
            }
            let mut state = self.world.now();
            if let Some(number) = self.cluster(&state, endpoint) {
                return Ok(question(&mut state, number));
            }
        }
        let names = self.access.endpoints.iter().map(|e| e.name.as_str());
        Err(WorldError::Kube {
            endpoint: names.collect::<Vec<_>>().join(", "),
            status: None,
            detail: "connection refused".to_owned(),
        })
    }

    fn hangs(&self, endpoint: &KubeEndpoint) -> bool {
        let state = self.world.now();
        let host = net::behind(&state, &endpoint.address).and_then(|id| state.hosts.get(&id));
        host.is_some_and(|host| host.api_hangs)
    }

    /// The cluster behind an endpoint, if its certificate is good for it.
    fn cluster(&self, state: &State, endpoint: &KubeEndpoint) -> Option<u64> {
        let server = net::behind(state, &endpoint.address)?;
        let number = state.api_on(server)?;
        let name = endpoint.server_name.as_ref().unwrap_or(&endpoint.address);
        state.serving(server)?.names.get(name)?;
        (state.clusters.get(&number)?.ca.as_bytes() == self.access.ca).then_some(number)
    }
}

fn cluster(state: &mut State, number: u64) -> &mut Cluster {
    state.clusters.entry(number).or_default()
}

fn nodes(state: &State, number: u64) -> Vec<KubeNode> {
    let Some(cluster) = state.clusters.get(&number) else {
        return Vec::new();
    };
    let members = cluster.members.iter();
    let mut servers = members.filter_map(|m| state.hosts.get(&m.host)?.k3s.as_ref());
    // Nobody installs a network plugin in this world.
    let networked = !servers.any(|k3s| {
        k3s.words
            .iter()
            .any(|word| word == "--flannel-backend=none")
            || k3s
                .flags("--flannel-backend")
                .any(|backend| backend == "none")
    });
    let node = |(name, node): (&String, &super::cluster::Node)| {
        let host = &state.hosts[&node.host];
        let roles = if node.server {
            ["control-plane", "etcd", "master"]
                .map(str::to_owned)
                .to_vec()
        } else {
            Vec::new()
        };
        let member = cluster.members.iter().find(|m| m.host == node.host);
        KubeNode {
            name: name.clone(),
            uid: node.uid.clone(),
            ready: !node.down && networked,
            lacks_network: !node.down && !networked,
            roles,
            version: node.version.clone(),
            address: host.address.clone(),
            more_addresses: host.node_addresses.clone(),
            cordoned: node.cordoned,
            etcd_member_name: member.map(|m| m.name.clone()),
            node_args: node_args(host.k3s.as_ref()),
            boot_id: host.boot_id(),
        }
    };
    cluster.nodes.iter().map(node).collect()
}

fn number_of(pod: &PodId) -> Option<u64> {
    pod.uid.parse().ok()
}

fn seen(number: u64, pod: &Pod, down: bool) -> KubePod {
    KubePod {
        id: PodId {
            namespace: "default".to_owned(),
            name: pod.name.clone(),
            uid: number.to_string(),
        },
        node: pod.node.clone(),
        owner: pod.owner.clone(),
        owner_name: match pod.owner {
            PodOwner::Nobody => String::new(),
            PodOwner::DaemonSet | PodOwner::StatefulSet | PodOwner::Node | PodOwner::Other(_) => {
                pod.name.clone()
            }
        },
        finished: false,
        ready: pod.leaves.is_none() && !pod.crashes && !down,
        terminating_until: pod.leaves.map(|_| coxswain_wire::Timestamp(0)),
        scratch: false,
        claims: pod.claims.clone(),
    }
}

/// The annotation `k3s.io/node-args`: arguments and configuration of the last start, each word by itself.
fn node_args(k3s: Option<&K3s>) -> Option<String> {
    let k3s = k3s?;
    let mut words = k3s.words.clone();
    if !words.iter().any(|word| word == "--tls-san") {
        words.extend(
            k3s.sans
                .iter()
                .flat_map(|san| ["--tls-san".to_owned(), san.clone()]),
        );
    }
    serde_json::to_string(&words).ok()
}

#[async_trait]
impl Kube for FakeKube {
    async fn readyz(&self, endpoint: &str) -> Result<Readiness> {
        sleep(LATENCY).await;
        let found = self.access.endpoints.iter().find(|e| e.name == endpoint);
        let Some(found) = found else {
            return Err(WorldError::InvalidInput {
                what: "endpoint".to_owned(),
                detail: endpoint.to_owned(),
            });
        };
        let ready = self.cluster(&self.world.now(), found).is_some();
        let text = if ready {
            "readyz check passed"
        } else {
            "connection refused"
        };
        Ok(Readiness {
            ready,
            latency: LATENCY,
            text: text.to_owned(),
        })
    }

    async fn version(&self) -> Result<String> {
        self.ask(|state, number| {
            let servers = cluster(state, number).nodes.values();
            servers
                .filter(|node| node.server)
                .map(|node| node.version.clone())
                .max()
                .unwrap_or_default()
        })
        .await
    }

    async fn nodes(&self) -> Result<Vec<KubeNode>> {
        self.ask(|state, number| nodes(state, number)).await
    }

    async fn lease(&self, node: &str) -> Result<Option<KubeLease>> {
        self.ask(|state, number| {
            let node = cluster(state, number).nodes.get(node)?.host;
            let host = state.hosts.get(&node)?;
            let k3s = host.k3s.as_ref()?;
            if host.cut {
                return Some(KubeLease {
                    renewed_at_us: None,
                });
            }
            let Fate::Up { since } = k3s.fate else {
                return Some(KubeLease {
                    renewed_at_us: None,
                });
            };
            let renewals = (Instant::now() - since).as_secs() / RENEWS.as_secs();
            Some(KubeLease {
                renewed_at_us: i64::try_from(renewals).ok(),
            })
        })
        .await
    }

    async fn delete_node(&self, node: &str) -> Result<bool> {
        self.ask(|state, number| cluster(state, number).delete_node(node))
            .await
    }

    async fn secret_names(&self, _namespace: &str) -> Result<Vec<String>> {
        self.ask(|state, number| {
            let cluster = cluster(state, number);
            let shared = cluster.shared.iter().map(|_| SECRET.to_owned());
            let passwords = cluster.passwords.keys();
            shared
                .chain(passwords.map(|n| format!("{n}.node-password.k3s")))
                .collect()
        })
        .await
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<KubeSecret>> {
        let known = serving::is_shared(namespace, name);
        self.ask(|state, number| {
            let cluster = cluster(state, number);
            if let Some((node, _)) = name.split_once(".node-password.k3s") {
                let (uid, kind) = match cluster.passwords_migrated {
                    true => ("new uid", "k3s.cattle.io/node-password"),
                    false => ("uid", "Opaque"),
                };
                return cluster.passwords.get(node).map(|kept| KubeSecret {
                    uid: format!("{uid} of {kept}"),
                    kind: kind.to_owned(),
                    annotations: BTreeMap::new(),
                    data: BTreeMap::from([(
                        "hash".to_owned(),
                        Secret::new(format!("hash of {kept}")),
                    )]),
                });
            }
            cluster
                .shared
                .as_ref()
                .filter(|_| known)
                .map(serving::as_secret)
        })
        .await
    }

    async fn create_secret(
        &self,
        namespace: &str,
        name: &str,
        secret: &KubeSecret,
    ) -> Result<bool> {
        let known = serving::is_shared(namespace, name);
        let secret = secret.clone();
        self.ask(move |state, number| {
            let uid = format!("secret-{}", state.unique());
            let cluster = cluster(state, number);
            if !known || cluster.shared.is_some() {
                return false;
            }
            cluster.shared = serving::from_secret(uid, &secret);
            cluster.shared.is_some()
        })
        .await
    }

    async fn delete_secret(&self, namespace: &str, name: &str) -> Result<bool> {
        if serving::is_shared(namespace, name) {
            return self
                .ask(|state, number| cluster(state, number).shared.take().is_some())
                .await;
        }
        let node = name.trim_end_matches(".node-password.k3s").to_owned();
        self.ask(|state, number| cluster(state, number).passwords.remove(&node).is_some())
            .await
    }

    async fn deployments(&self) -> Result<DeploymentCounts> {
        self.ask(|_, _| DeploymentCounts {
            wanted: 1,
            ready: 1,
        })
        .await
    }

    async fn set_cordoned(&self, node: &str, cordoned: bool) -> Result<()> {
        self.ask(
            |state, number| match cluster(state, number).nodes.get_mut(node) {
                Some(found) => {
                    found.cordoned = cordoned;
                    Ok(())
                }
                None => Err(WorldError::Kube {
                    endpoint: self.access.endpoints[0].name.clone(),
                    status: Some(404),
                    detail: format!("nodes \"{node}\" not found"),
                }),
            },
        )
        .await?
    }

    async fn pods(&self, node: Option<&str>) -> Result<Vec<KubePod>> {
        self.ask(|state, number| {
            let cluster = cluster(state, number);
            let down = |pod: &Pod| cluster.nodes.get(&pod.node).is_some_and(|node| node.down);
            cluster
                .pods
                .iter()
                .filter(|(_, pod)| node.is_none_or(|node| node == pod.node))
                .map(|(number, pod)| seen(*number, pod, down(pod)))
                .collect()
        })
        .await
    }

    async fn budgets(&self) -> Result<Vec<KubeBudget>> {
        self.ask(|state, number| {
            let pods = cluster(state, number).pods.values();
            pods.filter_map(|pod| {
                let held = pod.held_until? > Instant::now();
                Some(KubeBudget {
                    namespace: "default".to_owned(),
                    name: pod.name.clone(),
                    pods: 1,
                    allowed: u32::from(!held),
                })
            })
            .collect()
        })
        .await
    }

    async fn exclusive_claims(&self) -> Result<BTreeSet<String>> {
        self.ask(|state, number| {
            let pods = cluster(state, number).pods.values();
            pods.flat_map(|pod| pod.claims.iter())
                .map(|claim| format!("default/{claim}"))
                .collect()
        })
        .await
    }

    async fn evict(&self, pod: &PodId) -> Result<Eviction> {
        self.ask(|state, number| {
            let pods = &mut cluster(state, number).pods;
            let Some(found) = number_of(pod).and_then(|number| pods.get_mut(&number)) else {
                return Eviction::Accepted;
            };
            if found.held_until.is_some_and(|until| until > Instant::now()) {
                return Eviction::Blocked {
                    why: "Cannot evict pod as it would violate the pod's disruption budget."
                        .to_owned(),
                };
            }
            found.leaves.get_or_insert(Instant::now() + POD_LEAVES);
            Eviction::Accepted
        })
        .await
    }

    async fn force_delete(&self, pod: &PodId) -> Result<bool> {
        self.ask(|state, number| {
            let cluster = cluster(state, number);
            let found = number_of(pod).filter(|number| cluster.pods.contains_key(number));
            found.map(|number| cluster.replace(number)).is_some()
        })
        .await
    }

    fn watch_nodes(&self) -> KubeWatch {
        let world = self.world.clone();
        let access = self.access.clone();
        stream::unfold(
            (world, access, false),
            |(world, access, waited)| async move {
                if waited {
                    sleep(Duration::from_secs(1)).await;
                }
                let kube = FakeKube {
                    world: world.clone(),
                    access: access.clone(),
                };
                let event = match kube.nodes().await {
                    Ok(nodes) => NodeEvent::List(nodes),
                    Err(e) => NodeEvent::Interrupted {
                        since: coxswain_wire::Timestamp(0),
                        detail: e.to_string(),
                    },
                };
                Some((event, (world, access, true)))
            },
        )
        .boxed()
    }
}

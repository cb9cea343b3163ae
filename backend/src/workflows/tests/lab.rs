//! The panel's services in memory, and the inventory that tests plan on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use coxswain_k3s::token::SERVER_TOKEN_FILE;
use coxswain_wire::{
    Cluster, ClusterId, ClusterPhase, CredentialId, DrillFault, DrillReport, Enrolment, FieldValue,
    Host, HostId, HostKey, Inputs, Member, MemberRole, RunId, SecretId, Snapshot, SnapshotId,
    Timestamp,
};

use serde_json::Value;
use sha2::Digest as _;

use super::super::Inventory;
use crate::steps::services::{
    ClusterBook, DrillBook, SecretKind, Secrets, ServiceError, SnapshotBook, TakenSnapshot,
};
use crate::steps::{Services, hold_k3s};
use crate::world::fake::{FakeHost, FakeWorld, HostPicture, WorldPicture};
use crate::world::{Secret, World};

/// The cluster of all tests.
pub(super) const CLUSTER: ClusterId = ClusterId(1);
/// What an older snapshot holds: the running lab before anybody made anything but this. node3 and node4 were made
/// anew since.
const OLD_SNAPSHOT: &str = "node node1 1 server\nnode node2 2 server\nnode node3 3 server\nnode node4 4 agent\nobject before-snapshot\npassword node3 older\npassword node4 older\ntoken 00000000000000000000000000000001\n";
/// The load balancer.
pub(super) const LB: HostId = HostId(9);

/// Milliseconds of the runtime's paused clock, from a day that was.
pub(super) fn virtual_now() -> Timestamp {
    thread_local! {
        static START: tokio::time::Instant = tokio::time::Instant::now();
    }
    let elapsed = START.with(|start| tokio::time::Instant::now().saturating_duration_since(*start));
    Timestamp(1_795_326_133_000 + i64::try_from(elapsed.as_millis()).unwrap())
}

fn sha256(text: &str) -> String {
    coxswain_engine::plan::hex(&sha2::Sha256::digest(text))
}

/// Vault and book in memory. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Memory {
    data: Arc<Mutex<Data>>,
}

#[derive(Default)]
struct Data {
    secrets: BTreeMap<i64, Secret>,
    phase: Option<ClusterPhase>,
    kubeconfig: Option<SecretId>,
    token: Option<SecretId>,
    members: Vec<Member>,
    hosts: Vec<Host>,
    unclean: BTreeMap<HostId, ClusterId>,
    snapshots: Vec<Snapshot>,
    drills: BTreeMap<RunId, Drill>,
}

/// What is kept of a drill.
struct Drill {
    cluster: ClusterId,
    fault: DrillFault,
    record: Value,
    report: Option<DrillReport>,
}

/// What the book says, secrets by value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BookPicture {
    phase: ClusterPhase,
    pub(super) kubeconfig: Option<Vec<u8>>,
    pub(super) token: Option<Vec<u8>>,
    pub(super) members: Vec<Member>,
    pub(super) unclean: BTreeMap<HostId, ClusterId>,
}

#[async_trait]
impl Secrets for Memory {
    async fn put(&self, _kind: SecretKind, value: Secret) -> Result<SecretId, ServiceError> {
        let mut data = self.data.lock().unwrap();
        let id = i64::try_from(data.secrets.len()).unwrap() + 1;
        data.secrets.insert(id, value);
        Ok(SecretId(id))
    }

    async fn get(&self, id: SecretId) -> Result<Secret, ServiceError> {
        let data = self.data.lock().unwrap();
        data.secrets
            .get(&id.0)
            .cloned()
            .ok_or_else(|| ServiceError(format!("no secret {id}")))
    }
}

#[async_trait]
impl ClusterBook for Memory {
    async fn phase(&self, _: ClusterId) -> Result<ClusterPhase, ServiceError> {
        Ok(self
            .data
            .lock()
            .unwrap()
            .phase
            .unwrap_or(ClusterPhase::Planned))
    }
    async fn set_phase(&self, _: ClusterId, phase: ClusterPhase) -> Result<(), ServiceError> {
        self.data.lock().unwrap().phase = Some(phase);
        Ok(())
    }
    async fn kubeconfig(&self, _: ClusterId) -> Result<Option<SecretId>, ServiceError> {
        Ok(self.data.lock().unwrap().kubeconfig)
    }
    async fn set_kubeconfig(
        &self,
        _: ClusterId,
        secret: Option<SecretId>,
    ) -> Result<(), ServiceError> {
        self.data.lock().unwrap().kubeconfig = secret;
        Ok(())
    }
    async fn token(&self, _: ClusterId) -> Result<Option<SecretId>, ServiceError> {
        Ok(self.data.lock().unwrap().token)
    }
    async fn set_token(&self, _: ClusterId, secret: Option<SecretId>) -> Result<(), ServiceError> {
        self.data.lock().unwrap().token = secret;
        Ok(())
    }
    async fn members(&self, _: ClusterId) -> Result<Vec<Member>, ServiceError> {
        Ok(self.data.lock().unwrap().members.clone())
    }
    async fn add_member(&self, _: ClusterId, member: Member) -> Result<(), ServiceError> {
        let mut data = self.data.lock().unwrap();
        data.unclean.remove(&member.host);
        data.members.retain(|m| m.host != member.host);
        data.members.push(member);
        Ok(())
    }
    async fn remove_member(&self, _: ClusterId, host: HostId) -> Result<(), ServiceError> {
        self.data.lock().unwrap().members.retain(|m| m.host != host);
        Ok(())
    }
    async fn host(&self, host: HostId) -> Result<Option<Host>, ServiceError> {
        let data = self.data.lock().unwrap();
        Ok(data.hosts.iter().find(|h| h.id == host).cloned())
    }
    async fn unclean(&self, host: HostId) -> Result<Option<ClusterId>, ServiceError> {
        Ok(self.data.lock().unwrap().unclean.get(&host).copied())
    }
    async fn set_unclean(&self, host: HostId, from: Option<ClusterId>) -> Result<(), ServiceError> {
        let marks = &mut self.data.lock().unwrap().unclean;
        match from {
            Some(from) => drop(marks.insert(host, from)),
            None => drop(marks.remove(&host)),
        }
        Ok(())
    }
}

#[async_trait]
impl SnapshotBook for Memory {
    async fn cluster_of(&self, host: HostId) -> Result<Option<ClusterId>, ServiceError> {
        let data = self.data.lock().unwrap();
        Ok(data
            .members
            .iter()
            .any(|m| m.host == host)
            .then_some(CLUSTER))
    }
    async fn snapshots(&self, _: ClusterId) -> Result<Vec<Snapshot>, ServiceError> {
        Ok(self.data.lock().unwrap().snapshots.clone())
    }
    async fn note_snapshot(
        &self,
        cluster: ClusterId,
        taken: TakenSnapshot,
    ) -> Result<(), ServiceError> {
        let mut data = self.data.lock().unwrap();
        let known = |s: &Snapshot| s.host == taken.host && s.path == taken.path;
        let id = data.snapshots.iter().find(|s| known(s)).map(|s| s.id);
        let next = i64::try_from(data.snapshots.len()).unwrap() + 1;
        data.snapshots.retain(|s| !known(s));
        data.snapshots.push(Snapshot {
            id: id.unwrap_or(SnapshotId(next)),
            cluster,
            host: taken.host,
            server: format!("node{}", taken.host),
            path: taken.path,
            size: taken.size,
            sha256: taken.sha256,
            taken_at: taken.taken_at,
            version: taken.version,
            token: taken.token,
            run: taken.run,
        });
        data.snapshots
            .sort_by_key(|s| std::cmp::Reverse(s.taken_at));
        Ok(())
    }
    async fn forget_snapshot(&self, host: HostId, path: &str) -> Result<(), ServiceError> {
        let mut data = self.data.lock().unwrap();
        data.snapshots.retain(|s| s.host != host || s.path != path);
        Ok(())
    }
}

#[async_trait]
impl DrillBook for Memory {
    async fn record(&self, run: RunId) -> Result<Option<Value>, ServiceError> {
        let data = self.data.lock().unwrap();
        Ok(data.drills.get(&run).map(|drill| drill.record.clone()))
    }
    async fn keep_record(
        &self,
        run: RunId,
        cluster: ClusterId,
        fault: DrillFault,
        record: &Value,
    ) -> Result<(), ServiceError> {
        let drill = Drill {
            cluster,
            fault,
            record: record.clone(),
            report: None,
        };
        self.data.lock().unwrap().drills.insert(run, drill);
        Ok(())
    }
    async fn report(&self, run: RunId) -> Result<Option<DrillReport>, ServiceError> {
        let data = self.data.lock().unwrap();
        Ok(data.drills.get(&run).and_then(|drill| drill.report.clone()))
    }
    async fn keep_report(&self, report: &DrillReport) -> Result<(), ServiceError> {
        let mut data = self.data.lock().unwrap();
        if let Some(drill) = data.drills.get_mut(&report.run) {
            drill.report = Some(report.clone());
        }
        Ok(())
    }
    async fn earlier(
        &self,
        cluster: ClusterId,
        fault: DrillFault,
        before: RunId,
    ) -> Result<Vec<DrillReport>, ServiceError> {
        let data = self.data.lock().unwrap();
        let same = |drill: &&Drill| drill.cluster == cluster && drill.fault == fault;
        let earlier = data.drills.range(..before).rev();
        Ok(earlier
            .map(|(_, drill)| drill)
            .filter(same)
            .filter_map(|drill| drill.report.clone())
            .collect())
    }
}

/// A world with the panel's services.
#[derive(Clone)]
pub(super) struct Lab {
    pub(super) world: FakeWorld,
    pub(super) memory: Memory,
}

/// Everything that a workflow may change.
pub(super) type Picture = (WorldPicture, BookPicture);

impl Lab {
    pub(super) fn new(hosts: impl IntoIterator<Item = FakeHost>, cluster: &Cluster) -> Self {
        let memory = Memory::default();
        memory
            .data
            .lock()
            .unwrap()
            .members
            .clone_from(&cluster.members);
        memory.data.lock().unwrap().phase = Some(cluster.phase);
        memory.data.lock().unwrap().hosts = inventory().hosts;
        Self {
            world: FakeWorld::new(hosts),
            memory,
        }
    }

    /// Changes how a host is reached, as people do in the inventory.
    pub(super) fn enter(&self, host: HostId, change: impl FnOnce(&mut Host)) {
        let mut data = self.memory.data.lock().unwrap();
        change(data.hosts.iter_mut().find(|h| h.id == host).unwrap());
    }

    /// The load balancer has the three servers.
    pub(super) fn balance(&self) {
        let servers = [
            ("node1", "10.0.0.1"),
            ("node2", "10.0.0.2"),
            ("node3", "10.0.0.3"),
        ];
        self.world.balance(LB, "prod", &servers);
    }

    /// The load balancer has the three servers, by a configuration that a person wrote.
    pub(super) fn balance_by_hand(&self) {
        let text = "global\n\tstats socket /run/haproxy/admin.sock mode 660 level admin\n\nfrontend kube\n\tbind :6443\n\tmode tcp\n\tdefault_backend kube\n\nbackend kube\n\tmode tcp\n\tserver one 10.0.0.1:6443 check\n\tserver two 10.0.0.2:6443 check\n\tserver three 10.0.0.3:6443 check\n";
        self.world
            .change(LB, |host| host.run_haproxy(text.to_owned()));
    }

    /// The servers run as if they had always been told these names on their command lines.
    pub(super) fn tell(&self, sans: &[&str]) {
        let flags: String = sans.iter().map(|san| format!(" --tls-san {san}")).collect();
        self.world.restart_servers(&flags, None);
    }

    /// The servers run as if they had always had this config.yaml, and no names on their command lines.
    pub(super) fn configure(&self, config: &str) {
        self.world
            .restart_servers(" --tls-san-security=false", Some(config));
    }

    /// Whether a stored kubeconfig is the one on the first server: its numbers differ from run to run.
    fn compared(&self, stored: &[u8]) -> Vec<u8> {
        let line = |text: &str| -> Option<String> {
            let found = text
                .lines()
                .find(|line| line.contains("client-certificate-data"));
            found.map(|line| line.trim().to_owned())
        };
        let on_server = self
            .world
            .file(HostId(1), "/etc/rancher/k3s/k3s.yaml")
            .and_then(|text| line(&text));
        let stored = line(&String::from_utf8_lossy(stored));
        format!("as on the server: {}", stored == on_server).into_bytes()
    }

    pub(super) fn services(&self) -> Services {
        let world: Arc<dyn World> = Arc::new(self.world.clone());
        Services {
            world,
            secrets: Arc::new(self.memory.clone()),
            book: Arc::new(self.memory.clone()),
            snapshots: Arc::new(self.memory.clone()),
            drills: Arc::new(self.memory.clone()),
            now: virtual_now,
        }
    }

    /// The snapshots that are noted, which unwinding keeps on purpose: server, name without its time,
    /// checksum and token.
    pub(super) fn snapshots(&self) -> Vec<(HostId, String, String, Vec<u8>)> {
        let data = self.memory.data.lock().unwrap();
        let mut all: Vec<_> = data
            .snapshots
            .iter()
            .map(|s| {
                let (name, _) = s.name().rsplit_once('-').unwrap_or((s.name(), ""));
                let token = data.secrets[&s.token.0].expose().to_vec();
                (s.host, name.to_owned(), s.sha256.clone(), token)
            })
            .collect();
        all.sort();
        all
    }

    /// What is out of use: units that do not run, or would not run again, and cordoned nodes.
    pub(super) fn taken(&self) -> BTreeSet<String> {
        let world = self.world.picture();
        let stopped = |(name, host): (&String, &HostPicture)| {
            let (unit, _, state, _) = host
                .k3s
                .as_ref()
                .filter(|(_, _, state, _)| state != "active")?;
            Some(format!("{unit} is {state} on {name}"))
        };
        let faults = world.hosts.iter().flat_map(|(name, host)| {
            let off = host.off.then(|| format!("{name} is off"));
            let cut = host.cut.then(|| format!("the network of {name} is cut"));
            let held = host.files.contains_key(hold_k3s::DROP_IN);
            let held = held.then(|| format!("k3s is held on {name}"));
            let timers = host.timers.iter();
            let timers = timers.map(move |timer| format!("{timer} waits on {name}"));
            off.into_iter().chain(cut).chain(held).chain(timers)
        });
        let cordoned = world.clusters.iter().flat_map(|c| &c.cordoned);
        cordoned
            .map(|node| format!("{node} is cordoned"))
            .chain(world.hosts.iter().filter_map(stopped))
            .chain(faults)
            .collect()
    }

    pub(super) fn picture(&self) -> Picture {
        let data = self.memory.data.lock().unwrap();
        let value = |id: Option<SecretId>| id.map(|id| data.secrets[&id.0].expose().to_vec());
        let book = BookPicture {
            phase: data.phase.unwrap_or(ClusterPhase::Planned),
            kubeconfig: value(data.kubeconfig).map(|stored| self.compared(&stored)),
            token: value(data.token),
            members: data.members.clone(),
            unclean: data.unclean.clone(),
        };
        (self.world.picture(), book)
    }
}

/// node1 … node5 and lb.
pub(super) fn machines() -> Vec<FakeHost> {
    let node = |n: i64| FakeHost::new(n, &format!("node{n}"), &format!("10.0.0.{n}"));
    (1..=5)
        .map(node)
        .chain([FakeHost::balancer(LB.0, "lb", "10.0.0.9")])
        .collect()
}

/// Three servers, an agent and the load balancer; node5 is spare.
pub(super) fn inventory() -> Inventory {
    let key = HostKey {
        algorithm: "ssh-ed25519".to_owned(),
        fingerprint: "SHA256:x".to_owned(),
    };
    let host = |id: i64, name: &str, cluster: Option<ClusterId>| Host {
        id: HostId(id),
        name: name.to_owned(),
        ssh_address: format!("10.0.0.{id}"),
        ssh_port: 22,
        ssh_user: "ops".to_owned(),
        node_address: format!("10.0.0.{id}"),
        credential: CredentialId(1),
        enrolment: Enrolment::Pinned {
            keys: vec![key.clone()],
            confirmed_at: Timestamp(0),
        },
        cluster,
        last_test: None,
        unclean: None,
        power: None,
    };
    let hosts = (1..=4)
        .map(|n| host(n, &format!("node{n}"), Some(CLUSTER)))
        .chain([host(5, "node5", None), host(9, "lb", Some(CLUSTER))])
        .collect();
    let member = |id: i64, role: MemberRole| Member {
        host: HostId(id),
        role,
    };
    let members = vec![
        member(1, MemberRole::Server),
        member(2, MemberRole::Server),
        member(3, MemberRole::Server),
        member(4, MemberRole::Agent),
        member(9, MemberRole::LoadBalancer),
    ];
    let cluster = Cluster {
        id: CLUSTER,
        name: "prod".to_owned(),
        endpoint: "10.0.0.9".to_owned(),
        members,
        phase: ClusterPhase::Planned,
        locked_by: None,
        live: None,
    };
    Inventory {
        clusters: vec![cluster],
        hosts,
        snapshots: Vec::new(),
        tokens: BTreeMap::new(),
    }
}

/// The same with the cluster running.
pub(super) fn running_inventory() -> Inventory {
    let mut inventory = inventory();
    inventory.clusters[0].phase = ClusterPhase::Running;
    inventory
}

/// A lab in which the cluster of the inventory runs already.
pub(super) fn running_lab() -> Lab {
    living_lab(&running_inventory().clusters[0], "")
}

/// The same, made by somebody else: the panel has not taken it over. The servers get `more` arguments.
pub(super) fn foreign_lab(more: &str) -> Lab {
    living_lab(&inventory().clusters[0], more)
}

fn living_lab(cluster: &Cluster, more: &str) -> Lab {
    let lab = Lab::new(machines(), cluster);
    let server = format!("--tls-san 10.0.0.9{more}");
    let joins = "--server https://10.0.0.1:6443";
    lab.world.set_up(
        HostId(1),
        "k3s.service",
        &format!("server --cluster-init --node-name node1 {server}"),
    );
    for n in 2..=3 {
        lab.world.set_up(
            HostId(n),
            "k3s.service",
            &format!("server {joins} --node-name node{n} {server}"),
        );
    }
    lab.world.set_up(
        HostId(4),
        "k3s-agent.service",
        &format!("agent {joins} --node-name node4"),
    );
    lab
}

/// A snapshot that the panel has taken of it on a server, by a run, so many seconds after the cluster began.
pub(super) fn snapshot(id: i64, host: i64, run: i64, after: i64) -> Snapshot {
    let at = 1_795_000_000 + after;
    let name = format!("coxswain-{run}-0-node{host}-{at}");
    Snapshot {
        id: SnapshotId(id),
        cluster: CLUSTER,
        host: HostId(host),
        server: format!("node{host}"),
        path: format!("/var/lib/rancher/k3s/server/db/snapshots/{name}"),
        size: OLD_SNAPSHOT.len() as u64,
        sha256: sha256(OLD_SNAPSHOT),
        taken_at: Timestamp(at * 1000),
        version: Some("v1.33.5+k3s1".to_owned()),
        token: SecretId(1),
        run: RunId(run),
    }
}

/// Snapshots that the panel has taken of it, newest first: two on node1, one on node2.
pub(super) fn taken() -> Vec<Snapshot> {
    vec![
        snapshot(3, 1, 9, 300),
        snapshot(2, 2, 7, 200),
        snapshot(1, 1, 5, 100),
    ]
}

/// The running lab with these on its disks, and their token in the vault.
pub(super) fn lab_with_snapshots() -> Lab {
    lab_with(taken())
}

/// The same with others.
pub(super) fn lab_with(snapshots: Vec<Snapshot>) -> Lab {
    let lab = running_lab();
    let token = lab.world.file(HostId(1), SERVER_TOKEN_FILE).unwrap();
    let mut data = lab.memory.data.lock().unwrap();
    data.secrets.insert(1, Secret::new(token.trim()));
    data.token = Some(SecretId(1));
    data.snapshots.clone_from(&snapshots);
    drop(data);
    for snapshot in snapshots {
        lab.world.change(snapshot.host, |host| {
            host.files
                .insert(snapshot.path.clone(), OLD_SNAPSHOT.to_owned());
        });
    }
    for name in ["before-snapshot", "after-snapshot"] {
        lab.world.make(name);
    }
    lab
}

/// A password that somebody chose: neither a shell nor systemd may touch it.
pub(super) const ODD_PASSWORD: &str = r#"pa$$w"rd'\"#;

/// The second secret in the vault: the token since the rotation.
pub(super) const NEW_TOKEN: SecretId = SecretId(2);

/// The same after a rotation of the token: the snapshots open with the old one.
pub(super) fn lab_rotated_since() -> Lab {
    let lab = lab_with_snapshots();
    lab.world.rotate_tokens();
    let token = lab.world.file(HostId(1), SERVER_TOKEN_FILE).unwrap();
    let mut data = lab.memory.data.lock().unwrap();
    data.secrets.insert(NEW_TOKEN.0, Secret::new(token.trim()));
    data.token = Some(NEW_TOKEN);
    drop(data);
    lab
}

/// The same without its quorum: node3 is gone, and k3s on node1 finds no other member.
pub(super) fn lab_without_quorum() -> Lab {
    let lab = lab_with_snapshots();
    lab.world.stop_k3s(HostId(1));
    lab.world.power_off(HostId(3));
    lab.world.lose_quorum(HostId(2));
    lab
}

/// A lab in which the third server has left the cluster before.
pub(super) fn two_servers() -> Lab {
    let mut cluster = running_inventory().clusters[0].clone();
    cluster.members.retain(|m| m.host != HostId(3));
    let lab = Lab::new(machines(), &cluster);
    let server = "--tls-san 10.0.0.9";
    let joins = "--server https://10.0.0.1:6443";
    for (host, unit, words) in [
        (
            1,
            "k3s.service",
            format!("server --cluster-init --node-name node1 {server}"),
        ),
        (
            2,
            "k3s.service",
            format!("server {joins} --node-name node2 {server}"),
        ),
        (
            4,
            "k3s-agent.service",
            format!("agent {joins} --node-name node4"),
        ),
    ] {
        lab.world.set_up(HostId(host), unit, &words);
    }
    lab.world
        .balance(LB, "prod", &[("node1", "10.0.0.1"), ("node2", "10.0.0.2")]);
    lab
}

/// The same with five servers and no agent; node6 is spare.
pub(super) fn five_inventory() -> Inventory {
    let mut inventory = running_inventory();
    let cluster = &mut inventory.clusters[0];
    cluster
        .members
        .retain(|m| m.role == MemberRole::LoadBalancer);
    cluster.members.extend((1..=5).map(|n| Member {
        host: HostId(n),
        role: MemberRole::Server,
    }));
    let spare = inventory.hosts.iter().find(|h| h.id == HostId(5)).unwrap();
    let spare = Host {
        id: HostId(6),
        name: "node6".to_owned(),
        ssh_address: "10.0.0.6".to_owned(),
        node_address: "10.0.0.6".to_owned(),
        ..spare.clone()
    };
    for host in &mut inventory.hosts {
        host.cluster = Some(CLUSTER);
    }
    inventory.hosts.push(spare);
    inventory
}

/// A lab in which five servers run behind the load balancer.
pub(super) fn five_servers() -> Lab {
    let inventory = five_inventory();
    let spare = FakeHost::new(6, "node6", "10.0.0.6");
    let lab = Lab::new(
        machines().into_iter().chain([spare]),
        &inventory.clusters[0],
    );
    lab.memory.data.lock().unwrap().hosts = inventory.hosts;
    for n in 1..=5 {
        let joins = if n == 1 {
            "--cluster-init"
        } else {
            "--server https://10.0.0.1:6443"
        };
        let words = format!("server {joins} --node-name node{n} --tls-san 10.0.0.9");
        lab.world.set_up(HostId(n), "k3s.service", &words);
    }
    let names: Vec<(String, String)> = (1..=5)
        .map(|n| (format!("node{n}"), format!("10.0.0.{n}")))
        .collect();
    let servers: Vec<(&str, &str)> = names
        .iter()
        .map(|(name, address)| (name.as_str(), address.as_str()))
        .collect();
    lab.world.balance(LB, "prod", &servers);
    lab
}

/// The same with two of them gone for good.
pub(super) fn three_of_five_servers() -> Lab {
    let lab = five_servers();
    for lost in 4..=5 {
        lab.world.power_off(HostId(lost));
    }
    lab
}

/// The lab with snapshots, of which only the first server is left.
pub(super) fn lab_with_one_survivor() -> Lab {
    let lab = lab_with_snapshots();
    lab.balance();
    for lost in 2..=3 {
        lab.world.power_off(HostId(lost));
    }
    lab.world.lose_quorum(HostId(1));
    lab
}

/// The same without the agent: besides the server only the load balancer is left.
pub(super) fn lab_with_one_host() -> Lab {
    let lab = lab_with_one_survivor();
    lab.world.power_off(HostId(4));
    lab
}

/// Inputs by name.
pub(super) fn inputs(given: &[(&str, FieldValue)]) -> Inputs {
    given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

/// A text.
pub(super) fn text(value: &str) -> FieldValue {
    FieldValue::Text(value.to_owned())
}

/// Several texts.
pub(super) fn list(values: &[&str]) -> FieldValue {
    FieldValue::List(values.iter().map(|v| (*v).to_owned()).collect())
}

//! A world in memory: hosts, remote jobs, k3s and HAProxy on them, behind [`World`] and [`Kube`]. For tests
//! of steps, workflows and routes; it runs in the runtime's (possibly paused) time.
//!
//! Scripts are simulated by name. It knows what the recorded k3s did, not what the steps expect; what
//! counts in the end is a real k3s.

mod certificates;
mod cluster;
mod drill;
mod effects;
mod host;
mod job;
mod k3s;
mod kube;
mod net;
mod picture;
mod probe;
mod restore;
mod scripts;
mod serving;
mod token;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use coxswain_k3s::haproxy::{Backend, Section};
use coxswain_wire::{ConnectionCheck, ConnectionStage, ConnectionTest, HostId, HostKey, Timestamp};
use futures::{StreamExt as _, stream};
use tokio::time::{Instant, sleep};

pub use host::FakeHost;
pub use picture::{ClusterPicture, HostPicture, WorldPicture};

use super::{
    ClockReading, FileStream, HttpAnswer, JobId, JobRead, JobSpec, JobStart, JobStatus, Kube,
    KubeAccess, Output, PodOwner, RemoteCommand, Result, ScannedKey, ServedChain, TlsTarget, World,
    WorldError,
};
use cluster::Clusters;
use drill::Silent;
use host::Hosts;

/// Time every call takes.
const LATENCY: Duration = Duration::from_millis(5);
/// Time after which a call that is not answered is given up.
const CALL: Duration = Duration::from_secs(10);

/// A world in memory. Cheap to clone: clones share it.
#[derive(Clone, Default)]
pub struct FakeWorld {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    hosts: Hosts,
    clusters: Clusters,
    /// Rises with everything that must be unique.
    counter: u64,
}

impl FakeWorld {
    /// A world with these hosts.
    #[must_use]
    pub fn new(hosts: impl IntoIterator<Item = FakeHost>) -> Self {
        let world = Self::default();
        world
            .now()
            .hosts
            .extend(hosts.into_iter().map(|host| (host.id(), host)));
        world
    }

    /// Changes a host by hand.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn change(&self, host: HostId, change: impl FnOnce(&mut FakeHost)) {
        change(
            self.now()
                .hosts
                .get_mut(&host)
                .expect("the test names a host that is there"),
        );
    }

    /// Lets k3s run on a host as if it had been installed long ago, with these words after `k3s`. The first
    /// server begins the cluster; whoever comes later must name a `--server` and joins it.
    ///
    /// # Panics
    /// If k3s would not come up.
    pub fn set_up(&self, host: HostId, unit: &str, words: &str) {
        self.now()
            .set_up(host, unit, words)
            .expect("the test sets up what can run");
    }

    /// Stops k3s on a host, as `systemctl stop` does; long ago.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn stop_k3s(&self, host: HostId) {
        self.change(host, |host| {
            host.stop_k3s();
            host.silent = Some(Silent::ForLong);
        });
    }

    /// Starts k3s on a host, as `systemctl start` does.
    pub fn start_k3s(&self, host: HostId) {
        self.now().start_stopped(host, Instant::now());
    }

    /// k3s on a host has lost its quorum: it ends, and systemd starts it again and again.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn lose_quorum(&self, host: HostId) {
        self.change(host, |host| {
            host.lose_quorum();
            host.silent = Some(Silent::ForLong);
        });
    }

    /// Somebody has reset k3s on a server by hand (`k3s server --cluster-reset`): it runs as a cluster of its own, and its
    /// member keeps name and number. The others have not heard of it.
    ///
    /// # Panics
    /// If it is no server of a cluster.
    pub fn reset_alone(&self, host: HostId) {
        let reset = self.now().reset_alone(host);
        reset.expect("the test resets a server");
    }

    /// Cuts a host off its network, but for SSH.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn cut_off(&self, host: HostId) {
        self.change(host, |host| host.cut = true);
    }

    /// Pulls a host's plug; long ago.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn power_off(&self, host: HostId) {
        self.change(host, |host| {
            host.stop_k3s();
            host.reachable = false;
            host.off = true;
            host.silent = Some(Silent::ForLong);
        });
    }

    /// Lets k3s on a host be of this version, as if it had always been.
    pub fn run_version(&self, host: HostId, version: &str) {
        self.now().run_version(host, version);
    }

    /// A node of this name was in every cluster before, and its password is kept.
    pub fn keep_password(&self, name: &str) {
        let mut state = self.now();
        for cluster in state.clusters.values_mut() {
            let kept = format!("password of an earlier {name}");
            cluster.passwords.insert(name.to_owned(), kept);
        }
    }

    /// A newer k3s makes the Secrets of all nodes' passwords anew, with what was in them.
    pub fn migrate_passwords(&self) {
        for cluster in self.now().clusters.values_mut() {
            cluster.passwords_migrated = true;
        }
    }

    /// Names a host's etcd member otherwise: old versions of k3s cut host names at the first dot.
    pub fn name_member(&self, host: HostId, name: &str) {
        let mut state = self.now();
        let members = state.clusters.values_mut().flat_map(|c| &mut c.members);
        for member in members.filter(|member| member.host == host) {
            name.clone_into(&mut member.name);
        }
    }

    /// A machine comes back with nothing on it: installed anew, or another one at the same address.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn reinstall(&self, host: HostId) {
        self.change(host, |host| {
            host.k3s = None;
            host.files.clear();
            host.jobs.clear();
            host.boots += 1;
            host.reachable = true;
            host.off = false;
        });
    }

    /// Lets a pod of the first cluster run on a node. A disruption budget may hold it for a while from now on.
    ///
    /// # Panics
    /// If there is no cluster.
    pub fn pod(&self, name: &str, node: &str, owner: PodOwner, held_for: Option<Duration>) {
        let mut state = self.now();
        let number = state.unique();
        let cluster = state.clusters.values_mut().next();
        let pod = cluster::Pod {
            name: name.to_owned(),
            node: node.to_owned(),
            owner,
            held_until: held_for.map(|time| Instant::now() + time),
            claims: BTreeSet::new(),
            leaves: None,
            crashes: false,
            replaced: false,
        };
        cluster
            .expect("the test set a cluster up")
            .pods
            .insert(number, pod);
    }

    /// Gives pods of this name a volume that one node may use at a time.
    pub fn claim(&self, pod: &str, claim: &str) {
        let mut state = self.now();
        let pods = state
            .clusters
            .values_mut()
            .flat_map(|c| c.pods.values_mut());
        for found in pods.filter(|found| found.name == pod) {
            found.claims.insert(claim.to_owned());
        }
    }

    /// Lets pods of this name crash again and again, or run.
    pub fn crash(&self, pod: &str, crashes: bool) {
        let mut state = self.now();
        let pods = state
            .clusters
            .values_mut()
            .flat_map(|c| c.pods.values_mut());
        for found in pods.filter(|found| found.name == pod) {
            found.crashes = crashes;
        }
    }

    /// Marks the pods of a node for deletion, as the cluster does when the node is lost; `claim` is a volume of
    /// each that one node may use at a time.
    pub fn lose_pods(&self, node: &str, claim: Option<&str>) {
        let mut state = self.now();
        let clusters = state.clusters.values_mut();
        for pod in clusters.flat_map(|c| c.pods.values_mut()) {
            if pod.node == node {
                pod.leaves = Some(Instant::now());
                pod.claims.extend(claim.map(str::to_owned));
            }
        }
    }

    /// Lets a node of the first cluster take no new pods.
    pub fn cordon(&self, node: &str) {
        let mut state = self.now();
        let cluster = state.clusters.values_mut().next();
        if let Some(node) = cluster.and_then(|c| c.nodes.get_mut(node)) {
            node.cordoned = true;
        }
    }

    /// Names of the pods on a node of the first cluster, sorted.
    #[must_use]
    pub fn pods_on(&self, node: &str) -> Vec<String> {
        let state = self.now();
        let pods = state.clusters.values().next().into_iter();
        let mut names: Vec<String> = pods
            .flat_map(|c| c.pods.values())
            .filter(|pod| pod.node == node)
            .map(|pod| pod.name.clone())
            .collect();
        names.sort_unstable();
        names
    }

    /// Lets all servers run as if they had always had these words behind the others, instead of any
    /// `--tls-san`, and this config.yaml. Their certificate is made anew.
    pub fn restart_servers(&self, words: &str, config: Option<&str>) {
        self.now().restart_servers(words, config);
    }

    /// Asks k3s on a server for a name, as any client on the network may.
    ///
    /// # Panics
    /// If nothing is served there.
    pub fn ask(&self, host: HostId, name: &str) {
        let mut state = self.now();
        let cluster = state
            .api_on(host)
            .expect("the test asks a server that runs");
        state.asked(host, cluster, name);
        state.follow(cluster);
    }

    /// Lets HAProxy on a host run with a cluster's section.
    ///
    /// # Panics
    /// If the names are none, or there is no such host.
    pub fn balance(&self, host: HostId, cluster: &str, servers: &[(&str, &str)]) {
        let servers = servers
            .iter()
            .map(|(name, address)| Backend {
                name: name.parse().expect("the test gives node names"),
                address: address.parse().expect("the test gives addresses"),
            })
            .collect();
        let cluster = cluster.parse().expect("the test gives a cluster name");
        self.change(host, |host| {
            host.balance(&Section {
                cluster,
                port: 6443,
                servers,
            })
        });
    }

    /// Somebody makes a thing in the cluster.
    ///
    /// # Panics
    /// If there is no cluster.
    pub fn make(&self, name: &str) {
        let mut state = self.now();
        let cluster = state.clusters.values_mut().next();
        cluster
            .expect("the test has a cluster")
            .objects
            .insert(name.to_owned());
    }

    /// A file on a host.
    #[must_use]
    pub fn file(&self, host: HostId, path: &str) -> Option<String> {
        self.now().hosts.get(&host)?.files.get(path).cloned()
    }

    /// What every host and cluster looks like.
    #[must_use]
    pub fn picture(&self) -> WorldPicture {
        picture::take(&self.now())
    }

    /// How often a job with this script was started on a host.
    #[must_use]
    pub fn started(&self, host: HostId, script: &str) -> usize {
        self.now().hosts.get(&host).map_or(0, |h| h.started(script))
    }

    /// The state, brought up to this moment.
    fn now(&self) -> MutexGuard<'_, State> {
        // Changes are small and do not panic half-way.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(Instant::now());
        state
    }

    /// The state and a host that answers.
    async fn at(&self, host: HostId) -> Result<MutexGuard<'_, State>> {
        sleep(LATENCY).await;
        let hangs = |host: &FakeHost| host.ssh_hangs;
        if self.now().hosts.get(&host).is_some_and(hangs) {
            return Err(self.no_answer("a look", host, CALL).await);
        }
        self.reach(host)
    }

    /// Nothing comes back for so long.
    async fn no_answer(&self, what: &str, host: HostId, after: Duration) -> WorldError {
        sleep(after).await;
        WorldError::TimedOut {
            what: format!("{what} on host {host}"),
            after,
        }
    }

    fn reach(&self, host: HostId) -> Result<MutexGuard<'_, State>> {
        let state = self.now();
        state
            .hosts
            .get(&host)
            .ok_or(WorldError::UnknownHost(host))?
            .answers()?;
        Ok(state)
    }
}

impl State {
    /// A number that nobody else has.
    fn unique(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn host(&mut self, host: HostId) -> Result<&mut FakeHost> {
        self.hosts
            .get_mut(&host)
            .ok_or(WorldError::UnknownHost(host))
    }
}

#[async_trait]
impl World for FakeWorld {
    async fn run(&self, host: HostId, command: RemoteCommand) -> Result<Output> {
        let hangs = |host: &FakeHost| host.etcd_hangs && command.name() == "look-at-etcd";
        if self.now().hosts.get(&host).is_some_and(hangs) {
            let name = command.name();
            return Err(self.no_answer(name, host, command.timeout).await);
        }
        let mut state = self.at(host).await?;
        scripts::run(&mut state, host, &command)
    }

    async fn read_file(&self, host: HostId, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        let mut state = self.at(host).await?;
        match state.host(host)?.files.get(path) {
            Some(text) if text.len() > max => Err(WorldError::TooLarge {
                what: path.to_owned(),
                max,
            }),
            found => Ok(found.map(|text| text.clone().into_bytes())),
        }
    }

    async fn stream_file(&self, host: HostId, path: &str, max: u64) -> Result<Option<FileStream>> {
        let limit = usize::try_from(max).unwrap_or(usize::MAX);
        let content = self.read_file(host, path, limit).await?;
        Ok(content.map(|bytes| FileStream {
            size: bytes.len() as u64,
            pieces: stream::iter([Ok(bytes)]).boxed(),
        }))
    }

    async fn write_file(&self, host: HostId, path: &str, content: &[u8], _mode: u32) -> Result<()> {
        let mut state = self.at(host).await?;
        let text = String::from_utf8_lossy(content).into_owned();
        let host = state.host(host)?;
        let unit = path.starts_with("/etc/systemd/system/") && path.ends_with(".service");
        host.stale_units |= unit && host.files.get(path) != Some(&text);
        host.files.insert(path.to_owned(), text);
        Ok(())
    }

    async fn job_start(&self, host: HostId, job: JobId, spec: &JobSpec) -> Result<JobStart> {
        crate::world::ssh::check_names(spec)?;
        let mut state = self.at(host).await?;
        state.host(host)?.start(job, spec)
    }

    async fn job_status(&self, host: HostId, job: JobId) -> Result<JobStatus> {
        let mut state = self.at(host).await?;
        Ok(state.host(host)?.job_status(job))
    }

    async fn job_read(
        &self,
        host: HostId,
        job: JobId,
        offset: u64,
        max: usize,
        wait: Duration,
    ) -> Result<JobRead> {
        let until = Instant::now() + wait;
        loop {
            sleep(LATENCY).await;
            let read = self.reach(host)?.host(host)?.job_read(job, offset, max);
            if !read.bytes.is_empty() || read.complete(offset) || Instant::now() >= until {
                return Ok(read);
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn job_stop(&self, host: HostId, job: JobId) -> Result<()> {
        let mut state = self.at(host).await?;
        state.host(host)?.stop(job);
        Ok(())
    }

    async fn job_remove(&self, host: HostId, job: JobId) -> Result<()> {
        let mut state = self.at(host).await?;
        state.host(host)?.remove(job)
    }

    async fn jobs(&self, host: HostId) -> Result<Vec<(JobId, JobStatus)>> {
        let mut state = self.at(host).await?;
        Ok(state.host(host)?.jobs())
    }

    async fn boot_id(&self, host: HostId) -> Result<String> {
        let mut state = self.at(host).await?;
        Ok(state.host(host)?.boot_id())
    }

    async fn clock(&self, host: HostId) -> Result<ClockReading> {
        let mut state = self.at(host).await?;
        Ok(ClockReading {
            offset_ms: state.host(host)?.clock_offset_ms,
            round_trip: LATENCY,
        })
    }

    async fn test_connection(&self, host: HostId) -> ConnectionTest {
        let (ok, detail) = match self.at(host).await {
            Ok(_) => (true, "connected".to_owned()),
            Err(e) => (false, e.to_string()),
        };
        let check = ConnectionCheck {
            stage: ConnectionStage::Connect,
            ok,
            detail,
            advice: None,
        };
        ConnectionTest {
            at: Timestamp(0),
            checks: vec![check],
        }
    }

    async fn scan_host_keys(&self, host: HostId) -> Result<Vec<ScannedKey>> {
        drop(self.at(host).await?);
        let key = HostKey {
            algorithm: "ssh-ed25519".to_owned(),
            fingerprint: format!("SHA256:fake{host}"),
        };
        Ok(vec![ScannedKey {
            key,
            public_key: format!("ssh-ed25519 fake{host}"),
        }])
    }

    async fn handshake(&self, target: &TlsTarget) -> Result<ServedChain> {
        sleep(LATENCY).await;
        net::handshake(&mut self.now(), target)
    }

    async fn http_get(&self, target: &TlsTarget, path: &str) -> Result<HttpAnswer> {
        sleep(LATENCY).await;
        net::get(&mut self.now(), target, path)
    }

    async fn kube(&self, access: &KubeAccess) -> Result<Arc<dyn Kube>> {
        Ok(Arc::new(kube::FakeKube {
            world: self.clone(),
            access: access.clone(),
        }))
    }
}

//! One test's lab and panel: set back, observed whole, handed over; kept for whoever has to find out why it failed.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use coxswain_e2e::cluster;
use coxswain_e2e::environment::{Programs, shots};
use coxswain_e2e::lab::Lab;
use coxswain_e2e::operator::Operator;
use coxswain_e2e::panel::Panel;
use coxswain_e2e::runs::{inputs, list, text};
use coxswain_e2e::saved::{self, Machines};
use coxswain_wire::{FieldValue, Member, MemberRole};
use tokio::signal::unix::{SignalKind, signal};

/// The servers, the first one first.
pub(crate) const SERVERS: [&str; 3] = ["node1", "node2", "node3"];
/// An enrolled host outside the cluster.
pub(crate) const SPARE: &str = "node4";
/// The host with HAProxy.
pub(crate) const BALANCER: &str = "lb";
/// The cluster's name.
pub(crate) const CLUSTER: &str = "lab";
/// A name that the API's certificate carries besides the nodes' own.
pub(crate) const SAN: &str = "k3s.lab.test";
/// The stand-in's release.
pub(crate) const VERSION: &str = "v1.22.4+k3s1";

/// Factor for the stand-in's timers: 40 s until a dead node is NotReady become 4 s.
pub(crate) const SCALE: &str = "0.1";
/// Time a bootstrap may take on a busy machine.
const BOOTSTRAP: Duration = Duration::from_secs(600);
/// Time from power on to a whole cluster.
const WHOLE: Duration = Duration::from_secs(120);

/// What a test works with.
pub(crate) struct Day {
    /// The hosts, past the panel.
    pub(crate) lab: Lab,
    /// The panel as a process.
    pub(crate) panel: Panel,
    /// Its administrator.
    pub(crate) operator: Operator,
}

impl Day {
    /// The cluster as an input of a form.
    pub(crate) async fn cluster(&self) -> Result<FieldValue> {
        Ok(FieldValue::Id(self.operator.cluster(CLUSTER).await?.id.0))
    }

    /// A host as an input of a form.
    pub(crate) async fn host(&self, name: &str) -> Result<FieldValue> {
        Ok(FieldValue::Id(self.operator.host(name).await?.id.0))
    }

    /// Several hosts as an input of a form.
    pub(crate) async fn hosts(&self, names: &[&str]) -> Result<FieldValue> {
        let mut ids = Vec::new();
        for name in names {
            ids.push(self.operator.host(name).await?.id.0);
        }
        Ok(FieldValue::Ids(ids))
    }
}

/// Runs a test on a lab of its own, with quick timers.
pub(crate) fn on_the_lab(test: impl AsyncFnOnce(&mut Day) -> Result<()>) {
    play(SCALE, test);
}

/// Runs a test on a lab of its own, with a real k3s's timers.
pub(crate) fn in_real_time(test: impl AsyncFnOnce(&mut Day) -> Result<()>) {
    play("1", test);
}

fn play(scale: &str, test: impl AsyncFnOnce(&mut Day) -> Result<()>) {
    let played = || -> Result<()> {
        let machines = saved::take()?;
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let played = tokio::select! {
                played = begin(&machines, scale, test) => played,
                // Whoever ends the tests must not leave a panel behind, nor machines that are still on their way.
                interrupted = interrupted() => interrupted,
            };
            machines.at_rest().await;
            played
        })
    };
    if let Err(error) = played() {
        panic!("{error:#}");
    }
}

/// Waits for Ctrl-C or SIGTERM; the answer is always an error.
async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
    }
    saved::end();
    bail!("interrupted")
}

async fn begin(
    machines: &Machines,
    scale: &str,
    test: impl AsyncFnOnce(&mut Day) -> Result<()>,
) -> Result<()> {
    let programs = Programs::read()?;
    let mut clock = Clock::new();
    if !machines.are_saved() {
        bootstrap(machines, &programs).await.context("bootstrap")?;
        clock.lap("bootstrapped and saved");
    }
    let lab = machines.restore(scale).await?;
    clock.lap("machines back");
    cluster::whole(&lab, &SERVERS, BALANCER, WHOLE).await?;
    clock.lap("whole");
    let panel = Panel::start_from(&programs, &machines.panel()).await?;
    let operator = Operator::sign_in(&panel).await?;
    clock.lap("panel");
    let mut day = Day {
        lab,
        panel,
        operator,
    };
    let result = test(&mut day).await;
    clock.lap("test");
    clock.tell()?;
    if let Err(error) = &result {
        // Beside the test's time, too: at the end of a long log it is easily lost.
        writeln!(std::io::stderr(), "{}: {error:#}", name())?;
        keep(&day, &shots()?.join("day2").join(name().replace("::", "."))).await?;
    }
    result
}

/// A cluster as the panel makes it, once.
async fn bootstrap(machines: &Machines, programs: &Programs) -> Result<()> {
    let lab = machines.up(SCALE).await?;
    let panel = Panel::start(programs).await?;
    let operator = Operator::first(&panel).await?;
    let key = operator.new_credential("lab").await?;
    let mut members = Vec::new();
    for name in SERVERS.into_iter().chain([BALANCER, SPARE]) {
        let let_in = format!("echo '{}' >> ~/.ssh/authorized_keys", key.public_key.trim());
        lab.as_user(name, &let_in).await?;
        let host = operator.enrol(&lab, name, key.id).await?.id;
        let role = match name {
            SPARE => continue,
            BALANCER => MemberRole::LoadBalancer,
            _ => MemberRole::Server,
        };
        members.push(Member { host, role });
    }
    let endpoint = &lab.host(BALANCER)?.address;
    let cluster = operator.new_cluster(CLUSTER, endpoint, members).await?;
    let form = inputs([
        ("cluster", FieldValue::Id(cluster.id.0)),
        ("source", text("online")),
        ("installer_url", text(&lab.installer_url)),
        ("channel", text("stable")),
        ("sans", list(&[SAN])),
    ]);
    operator.complete("bootstrap", form, BOOTSTRAP).await?;
    cluster::whole(&lab, &SERVERS, BALANCER, WHOLE).await?;
    let kept = machines.panel();
    if kept.exists() {
        std::fs::remove_dir_all(&kept)?;
    }
    panel.keep(&kept).await?;
    machines.save().await
}

/// Journals and the panel's log.
async fn keep(day: &Day, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("panel.log"), day.panel.log()?)?;
    day.lab.keep_journals(folder).await
}

/// The test's name, as the test program names its thread.
fn name() -> String {
    std::thread::current().name().unwrap_or("test").to_owned()
}

/// How long the parts of a test took.
struct Clock {
    since: Instant,
    laps: Vec<String>,
}

impl Clock {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            laps: Vec::new(),
        }
    }

    fn lap(&mut self, part: &str) {
        let seconds = self.since.elapsed().as_secs_f64();
        self.laps.push(format!("{part} {seconds:.1} s"));
        self.since = Instant::now();
    }

    /// Past the test program, which shows nothing of tests that pass.
    fn tell(&self) -> Result<()> {
        writeln!(std::io::stderr(), "{}: {}", name(), self.laps.join(", "))?;
        Ok(())
    }
}

//! What the gate of a restore sees.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coxswain_engine::evidence::{Preflight as _, changes, evidence};
use coxswain_engine::state::RunState;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind as _};
use coxswain_wire::{
    CommandKind, FactKind, FieldValue, HostId, Inputs, RunCommand, RunId, RunStatus, RunView,
    StepIndex, StepStatus, Timestamp, Verdict,
};
use tokio::time::{Instant, sleep};

use super::super::{Inventory, Preflights, find};
use super::evidence::{facts, failing};
use super::lab::{self, Lab, inputs, text};
use super::panel::Panel;
use crate::steps::reset_cluster::ResetCluster;
use crate::steps::stop_servers::{HALT, RELEASE};
use crate::steps::unit::UnitLook;
use crate::steps::{ApiHost, rejoin_server};
use crate::world::{RemoteCommand, Script};

const NEWEST: &str = "coxswain-9-0-node1-1795000300";

fn restoring(situation: &str, snapshot: &str, lost: &[i64]) -> Inputs {
    inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("situation", text(situation)),
        ("snapshot", text(snapshot)),
        ("lost", FieldValue::Ids(lost.to_vec())),
    ])
}

#[tokio::test(start_paused = true)]
async fn a_restore_is_refused_when_it_is_not_called_for_or_cannot_work() {
    let inventory = Inventory {
        snapshots: lab::taken(),
        ..lab::running_inventory()
    };
    let found = |lab: Lab, given: Inputs| {
        let inventory = inventory.clone();
        async move {
            let before = lab.picture();
            let facts = facts(&lab, "snapshot_restore", &given, &inventory).await;
            assert_eq!(lab.picture(), before, "looking changes nothing");
            (failing(&facts), facts)
        }
    };
    let (none, facts) = found(
        lab::lab_with_snapshots(),
        restoring("data_wrong", NEWEST, &[]),
    )
    .await;
    assert_eq!(none, [""; 0]);
    let lost = facts.iter().find(|f| f.name == "Will be lost").unwrap();
    assert!(lost.value.contains("2026-11-18T"), "{}", lost.value);

    let (quorum, facts) = found(
        lab::lab_with_snapshots(),
        restoring("quorum_lost", NEWEST, &[]),
    )
    .await;
    assert_eq!(quorum, ["prod: Quorum"]);
    let advice = facts
        .iter()
        .find_map(|f| f.advice.clone().filter(|_| f.name == "Quorum"));
    assert!(advice.unwrap().contains("replace_node"));

    let (alive, _) = found(
        lab::lab_with_snapshots(),
        restoring("data_wrong", NEWEST, &[3]),
    )
    .await;
    assert_eq!(alive, ["node3: Lost"]);

    let (silent, _) = found(
        lab::lab_without_quorum(),
        restoring("quorum_lost", NEWEST, &[]),
    )
    .await;
    assert_eq!(silent, ["node3: Connection"]);

    let changed = lab::lab_with_snapshots();
    changed.world.change(HostId(1), |host| {
        let path = &lab::taken()[0].path;
        host.files
            .insert(path.clone(), "node node1 1 server\n".to_owned());
    });
    let (changed, _) = found(changed, restoring("data_wrong", NEWEST, &[])).await;
    assert_eq!(changed, ["node1: Snapshot"]);

    let rotated = lab::lab_rotated_since();
    let (rotated, _) = found(rotated, restoring("data_wrong", NEWEST, &[])).await;
    assert_eq!(rotated, ["node1: Server token"], "the panel did not know");

    let flagged = lab::lab_with_snapshots();
    flagged.world.change(HostId(1), |host| {
        let flag = "/var/lib/rancher/k3s/server/db/reset-flag".to_owned();
        host.files.insert(flag, String::new());
        host.free_kib = 1000;
    });
    let (flagged, facts) = found(flagged, restoring("data_wrong", NEWEST, &[])).await;
    assert_eq!(flagged, ["node1: Room"]);
    assert!(facts.iter().any(|f| f.name == "Earlier reset"));
}

/// After the reset the quorum is held, by the run's own work: to try the rest again is no other question.
#[tokio::test(start_paused = true)]
async fn a_quorum_that_the_reset_has_made_is_in_nobodys_way() {
    let inventory = Inventory {
        snapshots: lab::taken(),
        ..lab::running_inventory()
    };
    let given = restoring("quorum_lost", NEWEST, &[]);
    let plan = find("snapshot_restore").unwrap();
    let plan = plan.plan(&given, &inventory).unwrap();
    let lab = lab::lab_with_snapshots();
    let look = async |state: &RunState| {
        let preflights = Preflights::new(lab.services());
        preflights.collect(RunId(1), &plan, 0, state).await
    };
    let mut state = RunState::new(Arc::new(plan.clone()));
    let mut before = look(&state).await;
    assert_eq!(failing(&before), ["prod: Quorum"]);
    let approved = before.iter_mut().find(|f| f.name == "Quorum").unwrap();
    approved.verdict = Verdict::Pass;
    approved.value = "lost".to_owned();
    state.stages[0].evidence = Some(evidence(Timestamp(0), before.clone()));
    assert_eq!(failing(&look(&state).await), ["prod: Quorum"]);

    let mut steps = plan.steps();
    let reset = steps.find(|(_, _, step)| step.kind == "reset_cluster");
    state.steps[reset.unwrap().0 as usize].attempt = 1;
    let now = look(&state).await;
    assert_eq!(failing(&now), [""; 0]);
    assert_eq!(changes(&before, &now, &|_| true), [""; 0]);
}

/// With no other server or agent left, the copy goes to the load balancer, or nowhere if a person says so.
#[tokio::test(start_paused = true)]
async fn the_last_resort_for_a_copy_is_the_load_balancer() {
    let inventory = Inventory {
        snapshots: lab::taken(),
        ..lab::running_inventory()
    };
    let copied_to = |given: &Inputs| {
        let plan = find("snapshot_restore").unwrap().plan(given, &inventory);
        let plan = plan.unwrap();
        let copies = plan.steps().filter(|(_, _, s)| s.kind == "copy_snapshot");
        copies.map(|(_, _, s)| s.target.clone()).collect::<Vec<_>>()
    };
    assert_eq!(copied_to(&restoring("data_wrong", NEWEST, &[])), ["node2"]);
    let agent = restoring("quorum_lost", NEWEST, &[2, 3]);
    assert_eq!(copied_to(&agent), ["node4"]);
    let mut alone = restoring("quorum_lost", NEWEST, &[2, 3, 4]);
    assert_eq!(copied_to(&alone), ["lb"]);

    let lab = lab::lab_with_one_host();
    let found = facts(&lab, "snapshot_restore", &alone, &inventory).await;
    assert_eq!(failing(&found), [""; 0]);
    lab.world.change(lab::LB, |host| host.free_kib = 1000);
    let found = facts(&lab, "snapshot_restore", &alone, &inventory).await;
    assert_eq!(failing(&found), ["lb: Room for the copy"]);
    lab.world.power_off(lab::LB);
    let found = facts(&lab, "snapshot_restore", &alone, &inventory).await;
    assert_eq!(failing(&found), ["lb: Room for the copy"]);

    // A load balancer that is gone, too, is in nobody's way.
    alone.insert("only_copy".to_owned(), FieldValue::Bool(true));
    assert_eq!(copied_to(&alone), [""; 0]);
    let found = facts(&lab, "snapshot_restore", &alone, &inventory).await;
    assert_eq!(failing(&found), [""; 0]);
    // How it is silent differs from look to look: nothing of that is approved.
    let mut of_lb = found.iter().filter(|fact| fact.subject == "lb");
    assert!(of_lb.all(|fact| fact.kind == FactKind::Shown), "{found:?}");
    assert!(found.iter().any(|fact| fact.subject == "lb"), "{found:?}");
}

/// A rotation that the panel knows of is taken back, with a word of warning and a place to put the old token.
#[tokio::test(start_paused = true)]
async fn a_snapshot_from_before_a_rotation_gets_its_token() {
    let lab = lab::lab_rotated_since();
    let inventory = Inventory {
        snapshots: lab::taken(),
        tokens: BTreeMap::from([(lab::CLUSTER, lab::NEW_TOKEN)]),
        ..lab::running_inventory()
    };
    let given = restoring("data_wrong", NEWEST, &[]);
    let found = facts(&lab, "snapshot_restore", &given, &inventory).await;
    assert_eq!(failing(&found), [""; 0]);
    let verdict = |name: &str| {
        let facts = found.iter().filter(|f| f.name == name);
        facts.map(|f| f.verdict).collect::<Vec<_>>()
    };
    assert_eq!(verdict("Server token"), [Verdict::Warn]);
    assert_eq!(verdict("Place of the token"), [Verdict::Pass; 4]);

    let read_elsewhere = "token-file: /srv/token\n".to_owned();
    lab.world.change(HostId(2), |host| {
        let config = "/etc/rancher/k3s/config.yaml".to_owned();
        host.files.insert(config, read_elsewhere);
    });
    let found = facts(&lab, "snapshot_restore", &given, &inventory).await;
    assert_eq!(failing(&found), ["node2: Place of the token"]);
}

/// A disk cannot be moved aside: the gate says where its old database stays, or refuses.
#[tokio::test(start_paused = true)]
async fn a_database_on_a_disk_of_its_own_stays_on_it() {
    const DATABASE: &str = "/var/lib/rancher/k3s/server/db";
    let inventory = Inventory {
        snapshots: lab::taken(),
        ..lab::running_inventory()
    };
    for (disk, refused) in [
        (DATABASE, false),
        ("/var/lib/rancher/k3s/server/db/snapshots", false),
        ("/var/lib/rancher/k3s/server/db/etcd", true),
    ] {
        let lab = lab::lab_with_snapshots();
        for host in [1, 2] {
            lab.world
                .change(HostId(host), |host| host.mounts = vec![disk]);
        }
        let given = restoring("data_wrong", NEWEST, &[]);
        let facts = facts(&lab, "snapshot_restore", &given, &inventory).await;
        let told: Vec<_> = facts.iter().filter(|f| f.name == "Old database").collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].subject, "node2");
        assert!(told[0].value.contains(disk), "{told:?}");
        assert_eq!(told[0].verdict == Verdict::Fail, refused, "{disk}");
    }
}

/// A restore, and people who work on the servers beside it.
struct Restore {
    lab: Lab,
    panel: Panel,
    run: RunId,
}

impl Restore {
    /// Pauses when a step of this kind is over.
    async fn paused_after(lab: Lab, given: Inputs, kind: &str) -> Self {
        let inventory = Inventory {
            snapshots: lab::taken(),
            ..lab::running_inventory()
        };
        let panel = Panel::over(&lab);
        let run = panel.start("snapshot_restore", &given, &inventory).await;
        panel.approve(run).await;
        let restore = Self { lab, panel, run };
        let step = restore.step(kind).await;
        let begun = |view: &RunView| view.steps[step].status == StepStatus::Running;
        restore.panel.until(run, begun).await;
        restore.panel.say(run, RunCommand::Pause).await;
        let over = |view: &RunView| view.steps[step].status == StepStatus::Succeeded;
        restore.panel.until(run, over).await;
        restore.panel.is(run, RunStatus::Paused).await;
        restore
    }

    async fn step(&self, kind: &str) -> usize {
        let view = self.panel.until(self.run, |_| true).await;
        let mut steps = view.plan.stages.iter().flat_map(|stage| &stage.steps);
        steps.position(|step| step.kind == kind).unwrap()
    }

    /// Approves, too, what the gate finds changed by people.
    async fn say(&self, command: RunCommand, then: RunStatus) -> RunView {
        self.panel.say(self.run, command).await;
        let rests = |view: &RunView| {
            let status = view.summary.status;
            !matches!(status, RunStatus::Preflight | RunStatus::Running)
        };
        let view = self.panel.until(self.run, rests).await;
        if view.summary.status == RunStatus::Waiting {
            self.panel.approve(self.run).await;
        }
        self.panel.is(self.run, then).await
    }

    /// Refused in these words, and nothing was reset.
    async fn refuses(&self, command: RunCommand, words: &str) -> RunView {
        let view = self.say(command, RunStatus::Failed).await;
        let said = &view.notice.as_ref().unwrap().message;
        assert!(said.contains(words), "{said}");
        assert!(self.objects().contains(&"after-snapshot".to_owned()));
        assert_eq!(self.lab.picture().0.clusters[0].members.len(), 3);
        view
    }

    fn objects(&self) -> Vec<String> {
        let picture = self.lab.picture().0;
        picture.clusters[0].objects.to_vec()
    }

    async fn systemctl(&self, hosts: &[i64], script: Script, words: [&str; 2]) {
        systemctl(&self.lab, hosts, script, words).await;
    }

    /// As the documentation of k3s has it: the old database is gone, and k3s starts with the `--server` of its unit.
    async fn join_by_hand(&self, host: i64, enable: &str) {
        self.lab.world.change(HostId(host), |host| {
            host.files
                .retain(|path, _| !path.starts_with("/var/lib/rancher/k3s/server/db/etcd"));
        });
        self.systemctl(&[host], RELEASE, [enable, "start"]).await;
        let members = &self.lab.picture().0.clusters[0].members;
        assert_eq!(members.len(), 2, "{members:?}");
    }

    fn rejoins(&self, host: i64) -> usize {
        self.lab.world.started(HostId(host), "rejoin-k3s")
    }
}

async fn systemctl(lab: &Lab, hosts: &[i64], script: Script, words: [&str; 2]) {
    for host in hosts {
        let command = RemoteCommand::script(script).arg("k3s.service");
        let command = command.args(words).sudo();
        let ran = lab.services().world.run(HostId(*host), command).await;
        ran.unwrap().ok("systemctl").unwrap();
    }
    sleep(Duration::from_secs(60)).await;
}

fn wrong_data() -> Inputs {
    restoring("data_wrong", NEWEST, &[])
}

#[tokio::test(start_paused = true)]
async fn a_server_is_not_reset_beside_others_that_run_again() {
    let lab = lab::lab_with_snapshots();
    let restore = Restore::paused_after(lab, wrong_data(), "stop_servers").await;
    restore
        .systemctl(&[1, 2, 3], RELEASE, ["enable", "start"])
        .await;
    let view = restore.refuses(RunCommand::Resume, "node2 is active").await;
    assert!(view.commands.contains(&CommandKind::Unwind), "{view:?}");
    // Stopped, but not for good.
    restore.systemctl(&[2, 3], HALT, ["", ""]).await;
    restore
        .refuses(RunCommand::Retry, "node2 would come back with a boot")
        .await;
    restore.systemctl(&[2, 3], HALT, ["disable", ""]).await;
    restore.say(RunCommand::Retry, RunStatus::Completed).await;
    assert_eq!(restore.objects(), ["before-snapshot"]);
}

/// Tried again, or by a panel that is back, it looks again.
#[tokio::test(start_paused = true)]
async fn each_attempt_at_a_reset_looks_at_the_others() {
    let lab = lab::lab_with_snapshots();
    let inventory = Inventory {
        snapshots: lab::taken(),
        ..lab::running_inventory()
    };
    let given = restoring("quorum_lost", NEWEST, &[3]);
    let plan = find("snapshot_restore").unwrap();
    let plan = plan.plan(&given, &inventory).unwrap();
    let mut steps = plan.steps();
    let (step, _, reset) = steps.find(|(_, _, s)| s.kind == "reset_cluster").unwrap();
    let again = || StepContext {
        applied: true,
        ..context(RunId(1), step, &reset.params)
    };
    let kind = ResetCluster(lab.services());
    let refused = async |words: &str| match kind.apply(&again()).await {
        Err(StepFailure::Fatal(error)) => {
            assert!(error.message.contains(words), "{error:?}");
            assert_eq!(lab.world.started(HostId(1), "cluster-reset"), 0);
        }
        other => panic!("{other:?}"),
    };
    refused("node2 is active; k3s.service on node3, which was lost, is active").await;
    lab.world.power_off(HostId(3));
    systemctl(&lab, &[2], HALT, ["", ""]).await;
    refused("node2 would come back with a boot").await;
    systemctl(&lab, &[2], HALT, ["disable", ""]).await;
    // Who cannot be asked may run.
    lab.world.change(HostId(2), |host| host.reachable = false);
    refused("").await;
    lab.world.change(HostId(2), |host| host.reachable = true);
    kind.apply(&again()).await.unwrap();
    assert_eq!(lab.world.started(HostId(1), "cluster-reset"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_somebody_has_let_join_keeps_its_database() {
    let lab = lab::lab_with_snapshots();
    let restore = Restore::paused_after(lab, wrong_data(), "reset_cluster").await;
    restore.join_by_hand(2, "enable").await;
    restore.say(RunCommand::Resume, RunStatus::Completed).await;
    assert_eq!((restore.rejoins(2), restore.rejoins(3)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_voting_member_that_is_not_settled_is_left_alone() {
    let lab = lab::lab_with_snapshots();
    let restore = Restore::paused_after(lab, wrong_data(), "reset_cluster").await;
    restore.join_by_hand(2, "").await;
    let refused =
        |failed: &str| failed.contains("node2 is a voting member of the restored cluster");
    let view = restore.say(RunCommand::Resume, RunStatus::Failed).await;
    let said = view.notice.unwrap().message;
    assert!(refused(&said), "{said}");

    // An attempt before has moved nothing: what is there is not ours.
    let services = restore.lab.services();
    let look = UnitLook::take(&*services.world, HostId(2), "k3s.service", None).await;
    let params = rejoin_server::Params {
        node: api(2),
        via: api(1),
    };
    let again = StepContext {
        memo: serde_json::json!({
            "invocation": look.unwrap().invocation,
            "aside": format!("{}.coxswain-1", rejoin_server::DATABASE),
        }),
        host: Some(HostId(2)),
        ..context(restore.run, 0, &serde_json::to_value(params).unwrap())
    };
    match rejoin_server::RejoinServer(services).apply(&again).await {
        Err(StepFailure::Fatal(error)) => assert!(refused(&error.message), "{error:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(restore.rejoins(2), 0);

    restore.systemctl(&[2], RELEASE, ["enable", ""]).await;
    restore.say(RunCommand::Retry, RunStatus::Completed).await;
    assert_eq!((restore.rejoins(2), restore.rejoins(3)), (0, 1));
}

fn api(n: i64) -> ApiHost {
    ApiHost {
        host: HostId(n),
        name: format!("node{n}"),
        address: format!("10.0.0.{n}"),
    }
}

fn context(run: RunId, step: StepIndex, params: &serde_json::Value) -> StepContext {
    StepContext {
        run,
        step,
        attempt: 2,
        host: Some(HostId(1)),
        target: "node1".to_owned(),
        params: params.clone(),
        memo: serde_json::json!({ "invocation": "before" }),
        outputs: coxswain_engine::plan::Outputs::new(),
        deadline: Instant::now() + Duration::from_secs(600),
        applied: false,
        output: None,
    }
}

/// The panel was away, and people went on by themselves.
#[tokio::test(start_paused = true)]
async fn a_reset_counts_though_others_have_joined_since() {
    let lab = lab::lab_with_snapshots();
    let restore = Restore::paused_after(lab, wrong_data(), "reset_cluster").await;
    restore.join_by_hand(2, "enable").await;
    // As plans of earlier versions have it.
    let params = serde_json::json!({ "server": api(1), "file": "/snapshot" });
    let step = restore.step("reset_cluster").await;
    let context = context(restore.run, u32::try_from(step).unwrap(), &params);
    let kind = ResetCluster(restore.lab.services());
    kind.check(&context.params).unwrap();
    match kind.probe(&context).await {
        Ok(Probe::Done { observed, .. }) => {
            assert!(
                observed.contains("have joined it since: node2"),
                "{observed}"
            );
        }
        other => panic!("{other:?}"),
    }
    // Of another run's reset it says nothing.
    let other = StepContext {
        run: RunId(99),
        ..context
    };
    let seen = kind.probe(&other).await.unwrap();
    assert!(matches!(seen, Probe::NotDone { .. }), "{seen:?}");
}

use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{StepContext, StepFailure};
use coxswain_engine::testing::Layer;
use coxswain_engine::testing::checks::retried;
use tokio::time::sleep;

use super::*;
use crate::steps::{leave_cluster, remove_k3s};

/// The first attempt of a step fails after a while.
struct Slow(&'static str);

#[async_trait]
impl Layer for Slow {
    async fn apply(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        if inner.name() == self.0 && context.attempt == 1 {
            sleep(Duration::from_secs(120)).await;
            return Err(StepFailure::fatal("the panel's network was gone"));
        }
        inner.apply(context).await
    }
}

/// systemd would start a k3s whose member has left again, and it would join anew.
#[tokio::test(start_paused = true)]
async fn the_last_but_one_stays_out_however_long_its_removal_takes() {
    let example = remove_last_but_one();
    let expected = completes(&example).await.unwrap();
    for kind in [leave_cluster::KIND, remove_k3s::KIND] {
        let slow = |_: &Lab, inner| layer(inner, Slow(kind));
        assert_eq!(retried(&example, &slow).await.unwrap(), expected, "{kind}");
    }
}

/// Somebody has started k3s by hand.
#[tokio::test(start_paused = true)]
async fn a_member_that_came_back_is_not_removed() {
    let example = remove_last_but_one();
    let plan = example.plan();
    let (step, _, planned) = plan
        .steps()
        .find(|(_, _, step)| step.kind == remove_k3s::KIND)
        .unwrap();
    let lab = example.world();
    let before = lab.picture();
    let context = StepContext {
        run: coxswain_wire::RunId(1),
        step,
        attempt: 1,
        host: planned.host,
        target: planned.target.clone(),
        params: planned.params.clone(),
        memo: serde_json::Value::Null,
        outputs: coxswain_engine::plan::Outputs::new(),
        deadline: tokio::time::Instant::now() + Duration::from_secs(600),
        applied: true,
        output: None,
    };
    let refused = remove_k3s::RemoveK3s(lab.services()).apply(&context).await;
    let error = refused.unwrap_err().into_error();
    assert!(error.message.contains("is an etcd member"), "{error:?}");
    assert_eq!(lab.picture(), before);
}

fn remove(host: i64, state: &str) -> Example {
    Example {
        workflow: "remove_node",
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("host", FieldValue::Id(host)),
            ("state", lab::text(state)),
        ]),
        inventory: lab::running_inventory(),
        lab: balanced_lab,
        counted: false,
    }
}

/// The same with the host gone.
fn remove_lost() -> Example {
    Example {
        lab: || {
            let lab = balanced_lab();
            lab.world.power_off(HostId(3));
            lab
        },
        ..remove(3, "lost")
    }
}

/// Two servers are left: the member has to leave while both run.
fn remove_last_but_one() -> Example {
    let mut inventory = lab::running_inventory();
    inventory.clusters[0]
        .members
        .retain(|m| m.host != HostId(3));
    Example {
        inventory,
        lab: lab::two_servers,
        ..remove(2, "reachable")
    }
}

/// Of five servers two are gone.
fn remove_two_lost() -> Example {
    let mut example = Example {
        inventory: lab::five_inventory(),
        lab: lab::three_of_five_servers,
        ..remove(4, "lost")
    };
    let others = FieldValue::Ids(vec![5]);
    example.inputs.insert("also_lost".to_owned(), others);
    example
}

conforms! {
    remove_server: remove(3, "reachable"),
    remove_agent: remove(4, "reachable"),
    remove_lost_server: remove_lost(),
    remove_last_but_one_server: remove_last_but_one(),
    remove_two_lost_servers: remove_two_lost(),
}

survives_death! {
    removal_of_a_server_survives_death_at_each_point: remove(3, "reachable"),
    removal_of_a_lost_server_survives_death_at_each_point: remove_lost(),
    removal_of_two_lost_servers_survives_death_at_each_point: remove_two_lost(),
    removal_of_the_last_but_one_survives_death_at_each_point: remove_last_but_one(),
}

#[tokio::test(start_paused = true)]
async fn of_two_lost_servers_nothing_stays_but_a_mark() {
    let ((world, book), _) = completes(&remove_two_lost()).await.unwrap();
    let cluster = &world.clusters[0];
    assert_eq!(cluster.members, ["node1", "node2", "node3"]);
    assert_eq!(cluster.nodes, ["node1", "node2", "node3"]);
    assert_eq!(
        book.unclean.keys().collect::<Vec<_>>(),
        [&HostId(4), &HostId(5)]
    );
    let (_, haproxy) = world.hosts["lb"].haproxy.clone().unwrap();
    assert_eq!(haproxy.matches("    server node").count(), 3, "{haproxy}");
}

#[tokio::test(start_paused = true)]
async fn removal_of_a_server_behind_somebody_elses_haproxy() {
    leaves_a_foreign_balancer_alone(remove(3, "reachable")).await;
}

/// The member is named after another name than its node has: host names were cut once.
#[tokio::test(start_paused = true)]
async fn removal_of_a_server_with_an_old_member_name() {
    let lab = || {
        let lab = balanced_lab();
        lab.world.name_member(HostId(3), "old-0123abcd");
        lab.world.name_member(HostId(1), "older-0123abcd");
        lab
    };
    let example = Example {
        lab,
        ..remove(3, "reachable")
    };
    let ((world, _), _) = completes(&example).await.unwrap();
    assert_eq!(world.clusters[0].members.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_server_leaves_while_another_is_down() {
    assert_eq!(down::is_held_back(remove(3, "reachable")).await, 1);
}

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{StepContext, StepFailure};
use coxswain_engine::testing::Layer;
use coxswain_engine::testing::checks::retried;
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use super::*;

fn snapshot(action: &str, more: &[(&str, FieldValue)]) -> Example {
    let mut inputs = lab::inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("action", lab::text(action)),
    ]);
    inputs.extend(lab::inputs(more));
    Example {
        workflow: "snapshot",
        inputs,
        inventory: Inventory {
            snapshots: lab::taken(),
            ..lab::running_inventory()
        },
        lab: lab::lab_with_snapshots,
        counted: false,
    }
}

conforms! {
    snapshot_save: snapshot("save", &[("server", FieldValue::Id(2))]),
    snapshot_list: snapshot("list", &[("checksums", FieldValue::Bool(true))]),
    snapshot_prune: snapshot("prune", &[("keep", lab::text("1"))]),
    snapshot_delete: snapshot("delete", &[("names", lab::list(&["coxswain-7-0-node2-1795000200"]))]),
}

survives_death! {
    saving_a_snapshot_survives_death_at_each_point: snapshot("save", &[]),
    pruning_snapshots_survives_death_at_each_point: snapshot("prune", &[("keep", lab::text("1"))]),
}

/// k3s never deletes them: another panel has taken one under this number.
#[tokio::test(start_paused = true)]
async fn an_old_file_of_the_same_name_is_not_taken_for_the_new_one() {
    const OLD: &str = "/var/lib/rancher/k3s/server/db/snapshots/coxswain-1-1-node1-1700000000";
    let example = Example {
        lab: || {
            let lab = lab::lab_with_snapshots();
            lab.world.change(HostId(1), |host| {
                host.files.insert(OLD.to_owned(), "long ago".to_owned());
            });
            lab
        },
        ..counted(snapshot("save", &[("server", FieldValue::Id(1))]))
    };
    let (_, counts) = completes(&example).await.unwrap();
    let (_, noted) = counts.unwrap();
    let long_ago = Sha256::digest("long ago");
    let long_ago = coxswain_engine::plan::hex(&long_ago);
    assert!(
        noted
            .iter()
            .any(|(_, name, ..)| name == "coxswain-1-1-node1")
    );
    assert!(
        noted.iter().all(|(_, _, sha256, _)| *sha256 != long_ago),
        "{noted:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_with_quotes_and_dollars_is_in_nobodys_way() {
    let example = Example {
        lab: || {
            let lab = lab::lab_with_snapshots();
            lab.world.tell_tokens(lab::ODD_PASSWORD);
            lab
        },
        ..snapshot("save", &[])
    };
    completes(&example).await.unwrap();
}

/// k3s stops once etcd was seen healthy, and is up again before anybody tries again.
struct StopsMeanwhile {
    lab: Lab,
    said: Arc<Mutex<Vec<StepFailure>>>,
}

#[async_trait]
impl Layer for StopsMeanwhile {
    async fn apply(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        if context.attempt > 1 {
            return inner.apply(context).await;
        }
        let on = context.host.unwrap();
        self.lab.world.stop_k3s(on);
        let result = inner.apply(context).await;
        self.said.lock().unwrap().extend(result.clone().err());
        self.lab.world.start_k3s(on);
        sleep(Duration::from_secs(60)).await;
        result
    }
}

/// What k3s says of the API that is away reaches the person; nothing is noted until there is a snapshot.
#[tokio::test(start_paused = true)]
async fn a_save_without_the_api_fails_in_k3s_own_words_and_is_retried() {
    let example = counted(snapshot("save", &[("server", FieldValue::Id(2))]));
    let said = Arc::new(Mutex::new(Vec::new()));
    let fail = |lab: &Lab, inner| {
        let (lab, said) = (lab.clone(), said.clone());
        layer(inner, StopsMeanwhile { lab, said })
    };
    let (_, counts) = retried(&example, &fail).await.unwrap();
    let (_, undisturbed) = completes(&example).await.unwrap();
    assert_eq!(counts.unwrap().1, undisturbed.unwrap().1, "what is noted");
    let said = said.lock().unwrap();
    let [StepFailure::Fatal(error)] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert_eq!(
        error.message,
        "k3s: failed to register CRDs: connection refused"
    );
    let advice = error.advice.as_deref().unwrap_or_default();
    assert!(advice.contains("the step's output"), "{error:?}");
}

//! Where a token in a unit file is left alone.

use coxswain_wire::{FieldValue, HostId};

use super::evidence::{facts, failing};
use super::lab::{self, Lab, inputs};

const UNIT: &str = "/etc/systemd/system/k3s.service";
const EXTRA: &str = "/etc/k3s/extra.env";

async fn in_the_way(lab: &Lab) -> Vec<String> {
    let given = inputs(&[("cluster", FieldValue::Id(1))]);
    let found = facts(lab, "move_token", &given, &lab::running_inventory()).await;
    assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    failing(&found)
}

/// The unit reads one more environment file after the one that the token would go into.
fn with_extra(unit: &str, env: &str) -> Lab {
    let lab = lab::foreign_lab(unit);
    lab.balance();
    lab.world.change(HostId(2), |host| {
        let text = host.files.get_mut(UNIT).unwrap();
        *text = text.replace(
            "ExecStart=",
            &format!("EnvironmentFile=-{EXTRA}\nExecStart="),
        );
        host.files.insert(EXTRA.to_owned(), env.to_owned());
    });
    lab
}

#[tokio::test(start_paused = true)]
async fn a_token_that_a_later_file_would_replace_stays() {
    let token = " --token hunter2hunter2";
    assert_eq!(in_the_way(&with_extra(token, "X=1\n")).await, [""; 0]);
    let other = "K3S_TOKEN=hunter2of-old\n";
    assert_eq!(
        in_the_way(&with_extra(token, other)).await,
        ["node2: Token"]
    );
    assert_eq!(in_the_way(&with_extra("", other)).await, [""; 0]);
}

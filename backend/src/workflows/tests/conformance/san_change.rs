use super::*;

fn san_change(add: &[&str], remove: &[&str], lab: fn() -> Lab) -> Example {
    Example {
        workflow: "san_change",
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("add", lab::list(add)),
            ("remove", lab::list(remove)),
        ]),
        inventory: lab::running_inventory(),
        lab,
        counted: false,
    }
}

fn sans_added() -> Example {
    san_change(&["api.example.org", "192.0.2.7"], &[], balanced_lab)
}

fn sans_removed() -> Example {
    san_change(&[], &["old.example.org"], named_lab)
}

/// The names stand in config.yaml, and k3s learns whatever it is asked for.
fn sans_in_the_file() -> Example {
    san_change(&["api.example.org"], &["old.example.org"], configured_lab)
}

/// The certificate has a name that is to go.
fn named_lab() -> Lab {
    let lab = balanced_lab();
    lab.tell(&["10.0.0.9", "old.example.org"]);
    lab
}

/// Each server has an address of its own that nobody tells it of; node2 has got it since it started.
fn dual_stack() -> Example {
    san_change(&[], &["old.example.org"], || {
        let lab = balanced_lab();
        for n in [1, 3] {
            lab.world.change(HostId(n), |host| {
                host.more_addresses = vec![format!("2001:db8::{n}").parse().unwrap()];
            });
        }
        lab.tell(&["10.0.0.9", "old.example.org"]);
        lab.world.change(HostId(2), |host| {
            host.more_addresses = vec!["2001:db8::2".parse().unwrap()];
        });
        lab
    })
}

fn configured_lab() -> Lab {
    let lab = balanced_lab();
    lab.configure("tls-san:\n- 10.0.0.9\n- old.example.org\nnode-label:\n- zone=a\n");
    lab
}

conforms! {
    san_change_add: sans_added(),
    san_change_remove: sans_removed(),
    san_change_config: sans_in_the_file(),
    san_change_dual_stack: dual_stack(),
}

survives_death! {
    san_change_that_adds_survives_death_at_each_point: sans_added(),
    san_change_that_removes_survives_death_at_each_point: sans_removed(),
    san_change_in_the_file_survives_death_at_each_point: sans_in_the_file(),
}

/// With its restart node2 adds the address that it has got.
#[tokio::test(start_paused = true)]
async fn an_address_of_a_servers_own_may_come_into_the_certificate() {
    completes(&dual_stack()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_addition_that_left_a_node_down_is_retried() {
    assert_eq!(down::comes_back(sans_added()).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_left_a_node_down_is_retried() {
    assert_eq!(down::comes_back(sans_removed()).await, 6);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_file_that_left_a_node_down_is_retried() {
    assert_eq!(down::comes_back(sans_in_the_file()).await, 6);
}

#[tokio::test(start_paused = true)]
async fn no_server_learns_a_name_while_another_is_down() {
    assert_eq!(down::is_held_back(sans_added()).await, 3);
}

#[tokio::test(start_paused = true)]
async fn no_server_forgets_a_name_while_another_is_down() {
    assert_eq!(down::is_held_back(sans_removed()).await, 6);
}

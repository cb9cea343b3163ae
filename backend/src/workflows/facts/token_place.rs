//! The evidence for another token: a place on the node to put it.

use coxswain_k3s::token::Token;
use coxswain_wire::Fact;

use super::super::PreflightContext;
use super::{fail, pass, warn};
use crate::steps::ApiHost;
use crate::steps::place_token::ADVICE;
use crate::steps::restart::NodeRole;
use crate::steps::told_token::ToldToken;

const NAME: &str = "Place of the token";

/// Where a node would be told another token.
pub(in crate::workflows) async fn facts(
    context: &PreflightContext,
    node: &ApiHost,
    role: NodeRole,
) -> Vec<Fact> {
    let name = node.name.as_str();
    let told = match ToldToken::take(&*context.services.world, node.host, role).await {
        Err(failure) => {
            return vec![fail(
                name,
                NAME,
                failure.into_error().message,
                "Check the connection to this host, and k3s's configuration there.",
            )];
        }
        Ok(told) => told,
    };
    if told.joined_with_its_own(role) {
        return vec![pass(
            name,
            NAME,
            "joined with a token made for joining alone (k3s token create), which stays as it is",
        )];
    }
    let mut facts = vec![match told.with(role, &any_token()) {
        Ok(retold) => {
            let paths: Vec<&str> = retold.files.iter().map(|(path, _)| path.as_str()).collect();
            pass(name, NAME, format!("goes into {}", paths.join(", ")))
        }
        Err(why) => fail(name, NAME, why, ADVICE),
    }];
    if told.of_agents {
        facts.push(fail(
            name,
            "Token of agents",
            "agents join with a token of their own (agent-token)",
            "This procedure changes the one token that all nodes share. Rotate by hand (k3s token rotate) where agents have their own.",
        ));
    }
    if told.files.token_in_unit(role) {
        facts.push(warn(
            name,
            "Token in the unit file",
            "everybody on the host may read it",
            "The new one goes into the environment file of mode 0600 instead.",
        ));
    }
    facts
}

/// In the form of one, to see where it would go.
fn any_token() -> String {
    Token::from_random([0; 16]).expose()
}

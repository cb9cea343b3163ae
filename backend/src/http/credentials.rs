//! SSH credentials. A private key goes into the vault and has no way out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use coxswain_wire::{Credential, CredentialId, NewCredential};
use zeroize::Zeroizing;

use super::errors::{Answer, Failure};
use super::guard::Caller;
use super::input::{Id, Input, visible};
use crate::app::App;
use crate::time::now;
use crate::vault::SSH_PRIVATE_KEY;
use crate::world::keys::{generate_key, parse_private_key};

const LONGEST_NAME: usize = 64;

pub(super) async fn list(State(app): State<Arc<App>>) -> Answer<Json<Vec<Credential>>> {
    Ok(Json(app.db.credentials().await?))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Input(request): Input<NewCredential>,
) -> Answer<(StatusCode, Json<Credential>)> {
    let NewCredential { name, private_key } = request;
    let private_key = private_key.map(Zeroizing::new);
    let name = check_name(&name)?;
    let comment = format!("coxswain {name}");
    let pair = match &private_key {
        Some(text) => parse_private_key(text, &comment)
            .map_err(|e| Failure::field("private_key", format!("{e}.")))?,
        None => generate_key(&comment)?,
    };
    let mut tx = app.db.write().await?;
    let sealed = app
        .vault
        .seal(&mut tx, SSH_PRIVATE_KEY, &pair.private_key)
        .await?;
    let made = app
        .db
        .create_credential(tx, &caller.who(), now(), name, &pair.public_key, &sealed)
        .await?;
    Ok((StatusCode::CREATED, Json(made)))
}

fn check_name(name: &str) -> Answer<&str> {
    let name = name.trim();
    visible("name", name)?;
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control)
    {
        return Err(Failure::field(
            "name",
            format!("A name has 1 to {LONGEST_NAME} characters on one line."),
        ));
    }
    Ok(name)
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<CredentialId>,
) -> Answer<StatusCode> {
    app.db.delete_credential(&caller.who(), now(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! HTTP. Every route with what it asks of its caller stands in [`routes`]; a route cannot be without.

mod address;
mod audit;
mod clusters;
mod credentials;
mod envelope;
mod errors;
mod guard;
mod hosts;
mod input;
mod kubeconfigs;
mod openapi;
mod page;
mod report_html;
mod reports;
mod runs;
mod session;
mod snapshots;
mod stream;
mod tail;
mod users;
mod workflows;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use coxswain_wire::Permission::{Administer, Kubeconfig, Operate, View};
use coxswain_wire::Session;
use tower_http::timeout::TimeoutLayer;

use crate::app::App;
use Access::{Command, Needs, Open};
use openapi::{Describe, Described, Made, made, sent};

pub use envelope::CONTENT_SECURITY_POLICY;
pub use guard::Access;
pub use runs::may_command;

/// Where the API begins.
pub const API: &str = "/api/v1";
/// Longest body: a form, a pasted key.
const MAX_BODY: usize = 256 * 1024;
/// Until an answer begins; a stream may go on.
const TIMEOUT: Duration = Duration::from_secs(100);

/// One route below [`API`].
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, parameters in braces.
    pub path: &'static str,
    /// What it asks of its caller.
    pub access: Access,
    handler: MethodRouter<Arc<App>>,
    handler_name: &'static str,
    describe: Describe,
    made: Option<Made>,
}

impl Route {
    /// Says what the handler answers where its type does not.
    fn answers(self, made: Made) -> Self {
        Self {
            made: Some(made),
            ..self
        }
    }
}

fn route<H, T, D>(verb: Verb, path: &'static str, access: Access, handler: H) -> Route
where
    H: Handler<T, Arc<App>> + Described<D>,
    T: 'static,
{
    let (method, filter) = verb;
    Route {
        method,
        path,
        access,
        handler: on(filter, handler),
        handler_name: std::any::type_name::<H>(),
        describe: H::describe,
        made: None,
    }
}

/// A method, for people and for the router.
type Verb = (Method, MethodFilter);

/// Every route. The guard of each is made from its line.
#[must_use]
#[rustfmt::skip]
pub fn routes() -> Vec<Route> {
    const GET: Verb = (Method::GET, MethodFilter::GET);
    const POST: Verb = (Method::POST, MethodFilter::POST);
    const PUT: Verb = (Method::PUT, MethodFilter::PUT);
    const DELETE: Verb = (Method::DELETE, MethodFilter::DELETE);
    const EVENTS: &str = "text/event-stream";
    const CREATED: StatusCode = StatusCode::CREATED;
    vec![
        route(GET,    "/boot",               Open,              session::boot),
        route(POST,   "/setup",              Open,              session::set_up).answers(made::<Session>(CREATED)),
        route(POST,   "/session",            Open,              session::sign_in).answers(made::<Session>(StatusCode::OK)),
        route(DELETE, "/session",            Needs(View),       session::sign_out),

        route(GET,    "/openapi.json",       Needs(View),       openapi::show),
        route(GET,    "/stream",             Needs(View),       stream::overview).answers(sent(EVENTS)),

        route(GET,    "/credentials",        Needs(View),       credentials::list),
        route(POST,   "/credentials",        Needs(Operate),    credentials::create),
        route(DELETE, "/credentials/{id}",   Needs(Operate),    credentials::delete),

        route(GET,    "/hosts",              Needs(View),       hosts::list),
        route(POST,   "/hosts",              Needs(Operate),    hosts::create),
        route(PUT,    "/hosts/{id}",         Needs(Operate),    hosts::update),
        route(DELETE, "/hosts/{id}",         Needs(Operate),    hosts::delete),
        route(POST,   "/hosts/{id}/scan",    Needs(Operate),    hosts::scan),
        route(POST,   "/hosts/{id}/confirm", Needs(Operate),    hosts::confirm),
        route(POST,   "/hosts/{id}/test",    Needs(Operate),    hosts::test),

        route(GET,    "/clusters",           Needs(View),       clusters::list),
        route(POST,   "/clusters",           Needs(Operate),    clusters::create),
        route(GET,    "/clusters/{id}",      Needs(View),       clusters::show),
        route(PUT,    "/clusters/{id}",      Needs(Operate),    clusters::update),
        route(DELETE, "/clusters/{id}",      Needs(Operate),    clusters::delete),
        route(GET,    "/clusters/{id}/snapshots", Needs(View),  snapshots::of_cluster),
        route(GET,    "/snapshots/{id}/file", Needs(Administer), snapshots::file).answers(sent("application/octet-stream")),

        route(POST,   "/kubeconfigs",        Needs(Kubeconfig), kubeconfigs::download).answers(sent("application/yaml")),

        route(GET,    "/workflows",          Needs(View),       workflows::list),
        route(POST,   "/plans",              Needs(Operate),    workflows::plan),

        route(GET,    "/runs",               Needs(View),       runs::list),
        route(POST,   "/runs",               Needs(Operate),    runs::start),
        route(GET,    "/runs/{id}",          Needs(View),       runs::show),
        route(GET,    "/runs/{id}/unwind",   Needs(View),       runs::unwind),
        route(GET,    "/runs/{id}/stream",   Needs(View),       stream::run).answers(sent(EVENTS)),
        route(GET,    "/runs/{id}/tail",     Needs(View),       tail::tail),
        route(GET,    "/runs/{id}/output",   Needs(View),       runs::output).answers(sent("text/plain")),
        route(GET,    "/runs/{id}/report",   Needs(View),       reports::show),
        route(GET,    "/runs/{id}/report/page", Needs(View),    reports::page),
        route(GET,    "/runs/{id}/report.html", Needs(View),    reports::printable).answers(sent("text/html")),
        route(POST,   "/runs/{id}/commands", Command,           runs::command),

        route(GET,    "/audit",              Needs(View),       audit::page),

        route(GET,    "/users",              Needs(Administer), users::list),
        route(POST,   "/users",              Needs(Administer), users::create),
        route(PUT,    "/users/{id}",         Needs(Administer), users::update),
        route(DELETE, "/users/{id}",         Needs(Administer), users::delete),
    ]
}

/// The panel's whole HTTP side.
pub fn router(app: Arc<App>) -> Router {
    let api = routes().into_iter().fold(Router::new(), |api, route| {
        let guard = from_fn_with_state(
            guard::Gate {
                app: app.clone(),
                access: route.access,
            },
            guard::guard,
        );
        api.route(route.path, route.handler.layer(guard))
    });
    let api = api.method_not_allowed_fallback(|| async { StatusCode::METHOD_NOT_ALLOWED });
    Router::new()
        .nest(API, api.fallback(|| async { StatusCode::NOT_FOUND }))
        .route(
            "/api/{*rest}",
            axum::routing::any(|| async { StatusCode::NOT_FOUND }),
        )
        .fallback(page::page)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            TIMEOUT,
        ))
        .layer(from_fn_with_state(app.clone(), address::only_proxies))
        .layer(from_fn_with_state(app.clone(), envelope::envelope))
        .with_state(app)
}

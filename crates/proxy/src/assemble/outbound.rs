//! Builds the targets of the local listener. Unchanged ones keep their tokens and their connections.

use std::{collections::BTreeMap, sync::Arc};

use http_canonical::{CanonicalPath, Keep};
use m2m::{
    CachedTokens, ClientCredentials, ExchangedTokens, IssuerTokens, JwtBearer, PresentedToken,
};
use oidc_core::{Clock, client::TokenEndpoint, dpop::DpopChecker};

use super::{AssembleError, Before, Lasting, at, issuers::client_auth, routes::exchange};
use crate::{
    config::{Config, OutboundGrant, OutboundTarget, TokenExchange, UpstreamHost, UpstreamUrl},
    identify::issuers::{IssuerClient, Issuers},
    outbound::{Outbound, Target, Tokens},
    upstream::{Rewrite, Upstream, UpstreamTls},
};

/// Makes all targets; `None` without `outbound` in the configuration.
///
/// # Errors
///
/// The key that cannot be applied, and the reason.
pub(super) fn outbound(
    config: &Config,
    lasting: &Lasting,
    issuers: &Arc<Issuers>,
    proofs: &Arc<DpopChecker>,
    before: Option<Before<'_>>,
) -> Result<Option<Outbound>, AssembleError> {
    let Some(outbound) = &config.outbound else { return Ok(None) };
    let earlier = lasting.outbound.load_full();
    let mut targets = BTreeMap::new();
    for (name, target) in &outbound.targets {
        let issuer = issuers.named(&target.issuer).ok_or_else(|| AssembleError {
            place: format!("outbound.targets.{name}.issuer"),
            reason: "it is not configured".to_owned(),
        })?;
        let same = before.is_some_and(|before| is_same(name, target, config, before));
        let kept = earlier.as_ref().filter(|_| same).and_then(|old| old.targets.get(name)).cloned();
        let made = match kept {
            Some(kept) => kept,
            None => Arc::new(self::target(name, target, issuer, lasting.workers, &lasting.clock)?),
        };
        targets.insert(name.clone(), made);
    }
    Ok(Some(Outbound {
        targets,
        issuers: Arc::clone(issuers),
        throttle: Arc::clone(&lasting.throttle),
        proofs: Arc::clone(proofs),
        clock: Arc::clone(&lasting.clock),
        drain: lasting.drain.clone(),
    }))
}

/// Whether a target and its issuer are as before.
fn is_same(name: &str, target: &OutboundTarget, config: &Config, before: Before<'_>) -> bool {
    let earlier = before.config.outbound.as_ref().and_then(|old| old.targets.get(name));
    let issuer = config.issuers.get(&target.issuer);
    earlier == Some(target)
        && issuer == before.config.issuers.get(&target.issuer)
        && before.has_same(target.files())
        && issuer.is_some_and(|issuer| before.has_same(issuer.files()))
}

/// Makes one target, with connections of its own for each of so many workers.
///
/// # Errors
///
/// The key that cannot be applied, and the reason.
pub(crate) fn target(
    name: &str,
    config: &OutboundTarget,
    issuer: &IssuerClient,
    workers: usize,
    clock: &Arc<dyn Clock>,
) -> Result<Target, AssembleError> {
    let place = |key: &str| format!("outbound.targets.{name}.{key}");
    let origin = config.url.origin().ascii_serialization();
    let origin: UpstreamUrl = origin.parse().map_err(at(place("url")))?;
    let path =
        |text: &str, key| CanonicalPath::parse(text, Keep::default()).map_err(at(place(key)));
    let rewrite = Rewrite {
        strip_prefix: Some(path(&format!("/{name}"), "url")?),
        add_prefix: Some(path(config.url.path(), "url")?),
        ..Rewrite::default()
    };
    let tls = UpstreamTls::configured(&config.tls).map_err(at(place("tls")))?;
    let upstream = Upstream::new(&[origin], &tls)
        .map_err(at(place("url")))?
        .with_workers(workers)
        .with_host(&UpstreamHost::Upstream)
        .with_rewrite(rewrite);
    let tokens = tokens(name, config, issuer, clock)?;
    Ok(Target {
        name: name.to_owned(),
        audience: config.audience.clone(),
        issuer: config.issuer.clone(),
        upstream,
        timeouts: config.timeouts,
        streams: config.streams,
        tokens,
    })
}

/// The client that asks for the tokens of a target.
///
/// # Errors
///
/// The key that cannot be applied, and the reason.
pub(crate) fn token_endpoint(
    name: &str,
    config: &OutboundTarget,
    issuer: &IssuerClient,
    clock: &Arc<dyn Clock>,
) -> Result<TokenEndpoint, AssembleError> {
    let Some(client) = &config.client else { return Ok(issuer.client.token_endpoint().clone()) };
    let auth = client_auth(&client.auth, &format!("outbound.targets.{name}.client.auth"))?;
    let endpoint = TokenEndpoint::new(issuer.provider.clone(), &client.id, auth);
    Ok(endpoint.with_clock(Arc::clone(clock)))
}

fn tokens(
    name: &str,
    config: &OutboundTarget,
    issuer: &IssuerClient,
    clock: &Arc<dyn Clock>,
) -> Result<Tokens, AssembleError> {
    let endpoint = token_endpoint(name, config, issuer, clock)?;
    let clock = || Arc::clone(clock);
    let scope = config.scopes.join(" ");
    let own = |source: IssuerTokens| Tokens::Own(CachedTokens::new(source).with_clock(clock()));
    Ok(match &config.grant {
        OutboundGrant::ClientCredentials => {
            let mut grant = ClientCredentials::new();
            if let Some(audience) = &config.audience {
                grant = grant.with_audience(audience);
            }
            if !scope.is_empty() {
                grant = grant.with_scope(&scope);
            }
            own(IssuerTokens::new(endpoint, grant))
        }
        OutboundGrant::JwtBearer(file) => {
            let grant = JwtBearer::new(PresentedToken::file(file));
            let grant = if scope.is_empty() { grant } else { grant.with_scope(&scope) };
            own(IssuerTokens::jwt_bearer(endpoint, grant))
        }
        OutboundGrant::Exchange => {
            let audience = config.audience.clone().unwrap_or_default();
            let wanted = exchange(&TokenExchange { audience, scopes: config.scopes.clone() });
            // The gateway's own client shares what it exchanges for routes.
            let tokens = match (&config.client, &issuer.exchanged) {
                (None, Some(shared)) => shared.clone(),
                _ => ExchangedTokens::new(endpoint).with_clock(clock()),
            };
            Tokens::OnBehalf { tokens: Box::new(tokens), wanted: Arc::new(wanted) }
        }
    })
}

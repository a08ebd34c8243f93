//! Requests of agents to a server of MCP.

use std::sync::Arc;

use access_policy::Caller;

use super::{Identified, SeenMessage, authorization};
use crate::{mcp, refusal::Refusal, route::Routed};

/// Checks that no page of another site sends a request to a server of MCP, as the protocol asks, and reads its message where rules judge
/// messages.
pub(super) async fn check(identified: &mut Identified) -> Result<(), Refusal> {
    let Identified { routed: Routed { request, route }, sender, message, .. } = identified;
    let own = route.origin(request.host());
    let admitted = route.cors.as_ref().filter(|_| !sender.has_session());
    let by_cors = admitted.is_some_and(|cors| cors.admits(request.headers()));
    if let Some(origin) =
        authorization::other_site(request.headers(), &own, &route.origins).filter(|_| !by_cors)
    {
        return Err(Refusal::ForeignOrigin { origin });
    }
    if route.policy.depends_on_message() {
        // The body of an unknown caller is not read where it cannot matter.
        let matters = matches!(sender.caller, Caller::Known(_)) || route.policy.is_public_in_part();
        *message = Some(Box::new(match matters {
            false => SeenMessage::Unread,
            true => SeenMessage::Read(mcp::read_from(request).await?.map(Arc::new)),
        }));
    }
    Ok(())
}

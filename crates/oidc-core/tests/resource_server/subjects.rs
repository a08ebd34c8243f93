//! Requirements on the subject of a job.

use oidc_core::Issuer;
use oidc_core::resource_server::{Identity, Requirement, VerifyLayer};
use oidc_core::verify::Profile;
use oidc_core::{Validation, Verifier};
use serde_json::json;

use super::{World, bearer};

async fn job(world: &World, subject: &str) -> Identity {
    let rules = Validation::new(world.issuer.issuer(), "api").with_profile(Profile::Workload);
    let verifier = Verifier::new(rules, world.issuer.keys()).with_clock(world.issuer.clock());
    let (parts, _) = bearer(&world.token(json!({ "sub": subject }))).into_parts();
    VerifyLayer::new(verifier).identify(&parts).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_job_is_let_in_by_its_subject_at_its_issuer() {
    let world = World::new();
    let own = "project_path:data/churn:ref_type:branch:ref:main";
    let main = "project_path:data/*:ref_type:branch:ref:main";
    let needed = Requirement::subject(&world.issuer.issuer(), main).unwrap();
    assert!(job(&world, own).await.require(needed.clone()).is_ok());
    let injected = format!("{own}:ref_type:branch:ref:main");
    for other in ["project_path:data/churn:ref_type:branch:ref:feature", &injected] {
        let refused = job(&world, other).await.require(needed.clone()).unwrap_err();
        assert_eq!(refused.rejected().status(), 403);
        let said = refused.to_string();
        assert!(
            said.contains(main) && said.contains(&format!("(its subject is {other})")),
            "{said}"
        );
    }
    let elsewhere: Issuer = "https://gitlab.example".parse().unwrap();
    let other = Requirement::subject(&elsewhere, main).unwrap();
    assert!(job(&world, own).await.require(other).is_err());
}

#[test]
fn a_requirement_on_everyone_is_refused() {
    let world = World::new();
    for pattern in ["*", "**", "project_path:*/*:ref:main", "repo:corp/[ab]:x"] {
        assert!(Requirement::subject(&world.issuer.issuer(), pattern).is_err(), "{pattern}");
    }
}

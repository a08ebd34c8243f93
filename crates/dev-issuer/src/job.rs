//! Jobs of platforms, and the tokens that these platforms give them. The shapes follow the platforms' public documentation.

use serde_json::{Value, json};

use crate::identifiers::random_uuid;
use crate::jws::Claims;
use crate::product::Unsigned;
use crate::tokens::Stamp;

/// A job of a platform: a caller without a user, a client or a session.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use dev_issuer::{DevIssuer, Job, Mint};
///
/// let gitlab = DevIssuer::builder().start("127.0.0.1:0").await?;
/// let job = Job::gitlab("data/churn", "main").protected();
/// let token = gitlab.mint(Mint::job(job).audience(["doorward"]))?;
/// assert_eq!(token.split('.').count(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Job {
    platform: Platform,
    /// The subject, where it is not the platform's usual one.
    subject: Option<String>,
}

#[derive(Clone, Debug)]
enum Platform {
    GitLab { project: String, branch: String, protected: bool },
    GitHub { repository: String, branch: String, protected: bool },
    Kubernetes { namespace: String, name: String },
    Spiffe { id: String },
}

impl Job {
    /// A job of GitLab CI on a branch, with `id_tokens`.
    pub fn gitlab(project: impl Into<String>, branch: impl Into<String>) -> Self {
        let (project, branch) = (project.into(), branch.into());
        Self::of(Platform::GitLab { project, branch, protected: false })
    }

    /// A job of GitHub Actions on a branch, with the permission `id-token: write`.
    pub fn github(repository: impl Into<String>, branch: impl Into<String>) -> Self {
        let (repository, branch) = (repository.into(), branch.into());
        Self::of(Platform::GitHub { repository, branch, protected: false })
    }

    /// A pod of Kubernetes with a projected token of its service account.
    pub fn service_account(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::of(Platform::Kubernetes { namespace: namespace.into(), name: name.into() })
    }

    /// A workload with a JWT-SVID, which names no issuer: `spiffe://acme.example/run/trainer`.
    pub fn svid(id: impl Into<String>) -> Self {
        Self::of(Platform::Spiffe { id: id.into() })
    }

    fn of(platform: Platform) -> Self {
        Self { platform, subject: None }
    }

    /// Its branch is protected.
    #[must_use]
    pub fn protected(mut self) -> Self {
        if let Platform::GitLab { protected, .. } | Platform::GitHub { protected, .. } =
            &mut self.platform
        {
            *protected = true;
        }
        self
    }

    /// Another subject than the platform's usual one, as GitHub's owners may choose.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// `sub` of its tokens.
    pub fn subject(&self) -> String {
        if let Some(subject) = &self.subject {
            return subject.clone();
        }
        match &self.platform {
            Platform::GitLab { project, branch, .. } => {
                format!("project_path:{project}:ref_type:branch:ref:{branch}")
            }
            Platform::GitHub { repository, branch, .. } => {
                format!("repo:{repository}:ref:refs/heads/{branch}")
            }
            Platform::Kubernetes { namespace, name } => {
                format!("system:serviceaccount:{namespace}:{name}")
            }
            Platform::Spiffe { id } => id.clone(),
        }
    }

    /// Its token before it is signed.
    pub(crate) fn token(&self, stamp: &Stamp, audience: &[String]) -> Unsigned {
        let (issuer, now, expires) = (&stamp.issuer, stamp.now, stamp.expires);
        let one = match audience {
            [one] => json!(one),
            many => json!(many),
        };
        let (typ, claims) = match &self.platform {
            Platform::GitLab { project, branch, protected } => {
                (Some("JWT"), gitlab(project, branch, *protected, &one))
            }
            Platform::GitHub { repository, branch, protected } => {
                (Some("JWT"), github(repository, branch, *protected, &one))
            }
            // The API server writes `alg` and `kid` only.
            Platform::Kubernetes { namespace, name } => {
                (None, kubernetes(namespace, name, audience))
            }
            Platform::Spiffe { .. } => (Some("JWT"), json!({ "aud": audience })),
        };
        let mut claims: Claims = match claims {
            Value::Object(claims) => claims,
            _ => Claims::new(),
        };
        claims.insert("sub".to_owned(), json!(self.subject()));
        claims.insert("iat".to_owned(), json!(now));
        claims.insert("exp".to_owned(), json!(expires));
        if !matches!(self.platform, Platform::Spiffe { .. }) {
            claims.insert("iss".to_owned(), json!(issuer));
            claims.insert("nbf".to_owned(), json!(now.saturating_sub(5)));
            claims.insert("jti".to_owned(), json!(random_uuid()));
        }
        Unsigned { typ, claims }
    }
}

/// Booleans and numbers are text in these tokens.
fn gitlab(project: &str, branch: &str, protected: bool, audience: &Value) -> Value {
    let (group, _) = project.rsplit_once('/').unwrap_or_default();
    json!({
        "aud": audience,
        "namespace_id": "72", "namespace_path": group, "project_id": "20", "project_path": project,
        "user_id": "1", "user_login": "alice", "user_email": "alice@corp.example", "user_access_level": "developer",
        "pipeline_id": "574", "pipeline_source": "push", "job_id": "302",
        "ref": branch, "ref_type": "branch", "ref_path": format!("refs/heads/{branch}"),
        "ref_protected": protected.to_string(), "project_visibility": "private",
        "runner_id": 1, "runner_environment": "self-hosted", "sha": SHA,
        "ci_config_ref_uri": format!("gitlab.example/{project}//.gitlab-ci.yml@refs/heads/{branch}"), "ci_config_sha": SHA,
    })
}

fn github(repository: &str, branch: &str, protected: bool, audience: &Value) -> Value {
    let (owner, _) = repository.split_once('/').unwrap_or_default();
    let workflow = format!("{repository}/.github/workflows/deploy.yml@refs/heads/{branch}");
    json!({
        "aud": audience,
        "ref": format!("refs/heads/{branch}"), "ref_type": "branch", "ref_protected": protected.to_string(), "sha": SHA,
        "repository": repository, "repository_id": "74", "repository_owner": owner, "repository_owner_id": "65",
        "repository_visibility": "private", "run_id": "1658821493", "run_number": "7", "run_attempt": "1",
        "actor": "alice", "actor_id": "12", "workflow": "deploy", "workflow_ref": workflow, "workflow_sha": SHA,
        "job_workflow_ref": workflow, "job_workflow_sha": SHA, "head_ref": "", "base_ref": "", "event_name": "push",
        "runner_environment": "github-hosted",
    })
}

fn kubernetes(namespace: &str, name: &str, audience: &[String]) -> Value {
    json!({
        "aud": audience,
        "kubernetes.io": {
            "namespace": namespace,
            "node": { "name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1" },
            "pod": { "name": format!("{name}-0"), "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3" },
            "serviceaccount": { "name": name, "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798" },
        },
    })
}

/// The commit of every job.
const SHA: &str = "714a629c0b401fdce83e847fc9589983fc6f46bc";
